// The subcommands of ulmfit.
#pragma once

#include <string>
#include <vector>

#include "commands/call.h"

namespace ulmfit::commands {

// All of them, in the order of a project.
const std::vector<Entry>& all();

// Runs `ulmfit ARGUMENTS...`: finds the command, turns errors into a message on standard error and an exit code.
int dispatch(const Arguments& arguments);

}  // namespace ulmfit::commands
