/* What the app needs of a Cortex-M core: a tick counter and the stack's high-water mark. */
#ifndef KWS_CORE_H
#define KWS_CORE_H

#include <stdint.h>

/* A board's own start: clocks, power, pins. Runs before the transport's; does nothing where a board has none. */
void kws_board_init(void);

/* Start SysTick on the processor's clock. */
void kws_ticks_init(void);

/* SysTick ticks since kws_ticks_init; 24 bits of counter and 8 of wraps, counted by its interrupt. */
uint32_t kws_ticks(void);

/* Run 2 * count instructions (and four around them): what a tick is worth is measured with it. */
void kws_spin(uint32_t count);

/* Bytes of the stack ever used since reset. */
uint32_t kws_stack_used(void);

#endif
