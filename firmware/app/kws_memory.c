#include "kws_memory.h"

kws_any_arena kws_arena __attribute__((section(".bss.kws_arena")));
kws_any_input kws_input;
kws_any_output kws_output;
