#include <iostream>

#include "commands/commands.h"

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  return ulmfit::commands::dispatch({argv + 1, argv + argc});
}
