// Shows the values under the pointer. Everything else on the page works without it.
for (const area of document.querySelectorAll(".area")) {
  const lines = [...area.querySelectorAll("path.line")].map(path => {
    const numbers = path.dataset.points.split(" ").map(Number), points = [];
    for (let i = 0; i < numbers.length; i += 2) points.push([numbers[i], numbers[i + 1]]);
    return {points, name: path.dataset.name, color: getComputedStyle(path).getPropertyValue("--color")};
  });
  const hair = document.createElement("div"), tip = document.createElement("div");
  hair.className = "hair"; tip.className = "tip";
  const shown = v => (Math.abs(v) >= 1e4 ? Math.round(v).toLocaleString("en") : String(+v.toPrecision(4)));
  const near = (points, x) => {
    let low = 0, high = points.length - 1;
    while (high - low > 1) { const mid = (low + high) >> 1; if (points[mid][0] <= x) low = mid; else high = mid; }
    return x - points[low][0] < points[high][0] - x ? points[low] : points[high];
  };
  area.addEventListener("pointermove", event => {
    const box = area.getBoundingClientRect(), high = +area.dataset.xHigh, low = +area.dataset.xLow || 0;
    const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    const x = low > 0 ? low * (high / low) ** share : share * high;
    const found = lines.map(line => ({...line, point: near(line.points, x)}));
    const best = found.reduce((a, b) => (Math.abs(a.point[0] - x) <= Math.abs(b.point[0] - x) ? a : b)).point[0];
    tip.replaceChildren(area.dataset.xName + " " + Math.round(best).toLocaleString("en"));
    for (const {name, color, point} of found) {
      const row = document.createElement("div"), dot = document.createElement("i");
      dot.style.background = color;
      const at = Math.abs(point[0] - best) > 0.02 * high ? " (" + Math.round(point[0]).toLocaleString("en") + ")" : "";
      row.append(dot, name + at + " " + shown(point[1]) + (area.dataset.unit === "%" ? "%" : ""));
      tip.append(row);
    }
    const left = (low > 0 ? Math.log(best / low) / Math.log(high / low) : best / high) * 100;
    hair.style.left = left + "%";
    tip.style.left = left > 50 ? "auto" : "calc(" + left + "% + 10px)";
    tip.style.right = left > 50 ? "calc(" + (100 - left) + "% + 10px)" : "auto";
    area.append(hair, tip);
  });
  area.addEventListener("pointerleave", () => { hair.remove(); tip.remove(); });
}
