/* What the app needs of a Cortex-M core: a tick counter and the stack's high-water mark. */
#ifndef KWS_CORE_H
#define KWS_CORE_H

#include <stdint.h>

/* A board's own start: clocks, power, pins. Runs before the transport's; does nothing where a board has none. */
void kws_board_init(void);

/* The waits of start-up that may give up; each is a bit of kws_gave_up. */
enum kws_wait { KWS_WAIT_CRYSTAL, KWS_WAIT_PLL, KWS_WAIT_CLOCK, KWS_WAIT_FLASH, KWS_WAIT_MICROPHONE };
enum { KWS_CLOCK_WAITS = (1u << KWS_WAIT_MICROPHONE) - 1u }; /* the bits of the processor's own start */
extern uint32_t kws_gave_up;

/* The processor's: KWS_CLOCK_HZ, or KWS_SLOW_CLOCK_HZ of board.toml where one of KWS_CLOCK_WAITS gave up. */
uint32_t kws_clock_hz(void);

/* Wait until the bits of `mask` in a register are `value`; whether they were before patience ended. Where they were not,
 * kws_gave_up has the bit of `wait` from then on. */
int kws_wait_for(volatile const uint32_t *bits, uint32_t mask, uint32_t value, enum kws_wait wait);

/* Of interrupts: an urgent one, as SysTick's is, does not wait for the end of a patient one. */
enum kws_urgency { KWS_URGENT, KWS_PATIENT };

/* Let an interrupt through; its number is that of the data sheet, from 0. */
void kws_interrupt_on(uint32_t number, enum kws_urgency urgency);

/* Hold it back; it is remembered. */
void kws_interrupt_off(uint32_t number);

/* Sleep until an interrupt, unless `work` returns nonzero before. An interrupt that comes between the two wakes, too. */
void kws_sleep_unless(int (*work)(void));

/* The same where ticks go on asleep; where they do not (KWS_TICKS_STOP_ASLEEP: board.toml) stay awake, to count them. */
void kws_doze_unless(int (*work)(void));

/* Start SysTick on the processor's clock. */
void kws_ticks_init(void);

/* SysTick ticks since kws_ticks_init; 24 bits of counter and 8 of wraps, counted by its interrupt. */
uint32_t kws_ticks(void);

/* Run 2 * count instructions (and four around them): what a tick is worth is measured with it. */
void kws_spin(uint32_t count);

/* Bytes of the stack ever used since reset. */
uint32_t kws_stack_used(void);

#endif
