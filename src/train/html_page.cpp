#include "train/html_page.h"

namespace ulmfit::train {
namespace {

// The palette keeps its differences for colour-blind readers (after Okabe and Ito), darkened or lightened for contrast.
constexpr std::string_view kStyle = R"css(
:root{color-scheme:light dark;--page:#f5f6f8;--card:#fff;--text:#1b2330;--soft:#5c6675;--line:#e2e6ec;--mark:#b9c1cd;
--c0:#0067b1;--c1:#d35400;--c2:#00835f;--c3:#b0478d;--c4:#8a6d00;--c5:#3f9fd8;--c6:#7a4fc2;--c7:#59636f;
--hit:0 103 177;--miss:211 84 0;--deep:#fff}
@media(prefers-color-scheme:dark){:root{--page:#12161c;--card:#1b2129;--text:#e6eaf0;--soft:#9aa5b4;--line:#2d3540;
--mark:#4b5665;--c0:#58b1f0;--c1:#ff9350;--c2:#3fcf9f;--c3:#ea8fc8;--c4:#e0bf3c;--c5:#9bd4f7;--c6:#b79af0;--c7:#aab4c0;
--hit:88 177 240;--miss:255 147 80;--deep:#10151b}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1240px;margin:0 auto;padding:24px 20px 48px}
h1{font-size:1.7rem;line-height:1.2;margin:0}h2{font-size:1.15rem;margin:32px 0 12px}h3{font-size:1rem;margin:0}
h3 small{font-weight:400;color:var(--soft)}
p{margin:0}.stage{color:var(--soft);margin:4px 0 20px}.lead{margin:-4px 0 12px}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:16px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:12px;margin-bottom:12px}
.tile b{display:block;font-size:1.6rem;line-height:1.25;font-weight:650;font-variant-numeric:tabular-nums}
.tile span,.tile small{color:var(--soft);font-size:.84rem;display:block;line-height:1.35}
.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,400px),1fr));gap:0 32px;margin:0}
.facts div{display:flex;justify-content:space-between;gap:16px;padding:6px 0;border-bottom:1px solid var(--line)}
.facts dt{color:var(--soft);flex:none}.facts dd{margin:0;text-align:right;overflow-wrap:anywhere}
.grid{display:grid;grid-template-columns:1fr 1fr;gap:16px}
.grid>*{min-width:0}.wide{grid-column:1/-1}.wide .area{height:300px}
.answers{align-items:start}.answers.narrow{align-items:stretch;grid-template-columns:repeat(3,1fr)}
.note,figcaption p{color:var(--soft);font-size:.84rem;line-height:1.4}
figure{margin:0}.chart{display:flex;flex-direction:column}.plot{margin-top:auto}
.legend{display:flex;flex-wrap:wrap;gap:2px 16px;list-style:none;margin:8px 0 0;padding:0;font-size:.84rem}
.legend li::before{content:"";display:inline-block;width:16px;height:3px;border-radius:2px;margin-right:6px;
vertical-align:middle;background:var(--color)}
.legend li.faint::before{opacity:.4}
.c0{--color:var(--c0)}.c1{--color:var(--c1)}.c2{--color:var(--c2)}.c3{--color:var(--c3)}
.c4{--color:var(--c4)}.c5{--color:var(--c5)}.c6{--color:var(--c6)}.c7{--color:var(--c7)}
.plot{padding:14px 10px 0 46px}
.area{position:relative;height:220px;touch-action:pan-y}
.area svg{position:absolute;inset:0;width:100%;height:100%;overflow:hidden}
.area path{fill:none;vector-effect:non-scaling-stroke;stroke-linejoin:round}
path.grid{stroke:var(--line);stroke-width:1}path.mark{stroke:var(--mark);stroke-width:1;stroke-dasharray:4 3}
path.line{stroke:var(--color);stroke-width:2}path.line.faint{stroke-width:1;opacity:.4}
path.dots{stroke:var(--color);stroke-width:7;stroke-linecap:round}
.area span{position:absolute;font-size:12px;line-height:1;color:var(--soft);white-space:nowrap;
font-variant-numeric:tabular-nums}
.area .x{top:calc(100% + 7px);transform:translateX(-50%)}
.area .y{right:calc(100% + 7px);transform:translateY(50%)}
.area .mark{top:3px;padding-left:4px;font-size:11px}
.x-name{text-align:center;font-size:12px;color:var(--soft);margin-top:24px}
.hair{position:absolute;top:0;bottom:0;width:1px;background:var(--soft);pointer-events:none}
.tip{position:absolute;top:6px;background:var(--card);border:1px solid var(--mark);border-radius:6px;padding:5px 9px;
font-size:12px;line-height:1.5;pointer-events:none;white-space:nowrap;z-index:1;box-shadow:0 2px 8px rgb(0 0 0/.18);
font-variant-numeric:tabular-nums}
.tip i{display:inline-block;width:8px;height:8px;border-radius:4px;margin-right:6px;background:var(--color)}
.scroll{overflow-x:auto;margin-top:12px}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}
.figures{width:100%}.figures td,.figures th{padding:5px 8px;border-bottom:1px solid var(--line);text-align:right}
.figures .name{text-align:left}.figures .name:first-child{padding-left:0}
.figures th{color:var(--soft);font-weight:500}
.label{max-width:220px;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
td.bar{background:linear-gradient(90deg,rgb(var(--hit)/.2) var(--share),transparent var(--share))}
.matrix{border-collapse:separate;border-spacing:2px;font-size:.84rem}
.matrix td{min-width:40px;height:32px;padding:2px 6px;text-align:center;border-radius:4px;
background:rgb(var(--miss)/var(--share))}
.matrix td.hit{background:rgb(var(--hit)/var(--share));font-weight:650}
.matrix td.deep{color:var(--deep)}.matrix td.none{color:var(--soft);background:var(--page)}
.matrix th{font-weight:500;padding:2px 6px}.matrix th[scope=row]{text-align:right;max-width:140px}
.matrix th[scope=col]{vertical-align:bottom;padding-bottom:6px}
.matrix th[scope=col] div{writing-mode:vertical-rl;transform:rotate(180deg);max-height:120px;margin:0 auto}
.matrix .axis{color:var(--soft);font-weight:400;text-align:left}
details summary{cursor:pointer;font-weight:600}
pre{overflow-x:auto;font-size:12.5px;line-height:1.45;margin:12px 0 0}
@media(max-width:1100px){.answers,.answers{align-items:start}.answers.narrow{align-items:stretch;grid-template-columns:1fr}}
@media(max-width:780px){.grid{grid-template-columns:1fr}}
@media(max-width:600px){main{padding:16px 10px 32px}.card{padding:12px}.plot{padding:12px 4px 0 42px}
.wide .area,.area{height:200px}.tiles{grid-template-columns:1fr 1fr}.tile b{font-size:1.3rem}
.matrix td{min-width:30px;padding:2px 3px}.matrix th[scope=row]{max-width:92px}}
)css";

// Shows the values under the pointer. Everything else on the page works without it.
constexpr std::string_view kScript = R"js(
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
    const box = area.getBoundingClientRect(), high = +area.dataset.xHigh;
    const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)), x = share * high;
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
    const left = best / high * 100;
    hair.style.left = left + "%";
    tip.style.left = left > 50 ? "auto" : "calc(" + left + "% + 10px)";
    tip.style.right = left > 50 ? "calc(" + (100 - left) + "% + 10px)" : "auto";
    area.append(hair, tip);
  });
  area.addEventListener("pointerleave", () => { hair.remove(); tip.remove(); });
}
)js";

}  // namespace

std::string escape_html(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string html_page(std::string_view title, std::string_view body) {
  std::string page = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
  page += "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n";
  page +=
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
      "script-src 'unsafe-inline'\">\n";
  page += "<title>" + escape_html(title) + "</title>\n<style>";
  page += kStyle;
  page += "</style>\n</head>\n<body>\n<main>\n";
  page += body;
  page += "</main>\n<script>";
  page += kScript;
  return page + "</script>\n</body>\n</html>\n";
}

}  // namespace ulmfit::train
