/* The table of close rules, read from the manual once more: what an end ought to mean. */
#ifndef WSKEEP_SIM_RULES_H
#define WSKEEP_SIM_RULES_H

#include "core/settings.h"

enum close_then rules_expect(const struct session_settings *settings,
                             const struct session_end *end);

#endif
