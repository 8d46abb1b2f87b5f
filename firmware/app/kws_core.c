/* Reset, vectors, faults, ticks and the painted stack of every Cortex-M board. */
#include "kws_core.h"

#include "kws_protocol.h"
#include "kws_transport.h"

extern uint32_t kws_stack_low[], kws_stack_top[], kws_data_start[], kws_data_end[], kws_bss_start[], kws_bss_end[];
extern const uint32_t kws_data_load[];

#define SYST_CSR (*(volatile uint32_t *)0xe000e010u)
#define SYST_RVR (*(volatile uint32_t *)0xe000e014u)
#define SYST_CVR (*(volatile uint32_t *)0xe000e018u)
#define SCB_VTOR (*(volatile uint32_t *)0xe000ed08u)
#define SCB_CPACR (*(volatile uint32_t *)0xe000ed88u)
#define NVIC_ISER(n) (*(volatile uint32_t *)(0xe000e100u + 4u * (n)))
#define NVIC_ICER(n) (*(volatile uint32_t *)(0xe000e180u + 4u * (n)))
#define NVIC_IPR(n) (*(volatile uint8_t *)(0xe000e400u + (n))) /* the upper two bits are there on every core */
#define SCB_CFSR (*(volatile uint32_t *)0xe000ed28u)

#ifndef KWS_TICKS_STOP_ASLEEP
#define KWS_TICKS_STOP_ASLEEP 0
#endif

#ifndef KWS_SLOW_CLOCK_HZ
#define KWS_SLOW_CLOCK_HZ KWS_CLOCK_HZ
#endif

enum { TICK_MASK = 0xffffff, STACK_PAINT = 0x6b777321 };

int main(void);
void kws_reset(void);
void kws_fault(void);
void kws_report_fault(const uint32_t *frame);
static void count_wrap(void);
#ifdef KWS_UART_INTERRUPT
void kws_uart_interrupt(void); /* of the transport */
#endif
#if defined KWS_MICROPHONE_INTERRUPT && defined KWS_LISTENING
void kws_microphone_interrupt(void); /* of the board */
#endif

typedef void (*vector)(void);

#define FIRST_INTERRUPT 16
#define ANY_FAULT kws_fault, kws_fault, kws_fault, kws_fault

/* Of the interrupts those that board.toml names; no other is ever enabled. */
__attribute__((section(".vectors"), used)) static const vector vectors[] = {
    (vector)(uintptr_t)kws_stack_top, kws_reset, ANY_FAULT, ANY_FAULT, ANY_FAULT, kws_fault, count_wrap,
#ifdef KWS_UART_INTERRUPT
    [FIRST_INTERRUPT + KWS_UART_INTERRUPT] = kws_uart_interrupt,
#endif
#if defined KWS_MICROPHONE_INTERRUPT && defined KWS_LISTENING
    [FIRST_INTERRUPT + KWS_MICROPHONE_INTERRUPT] = kws_microphone_interrupt,
#endif
};

/* ------------------------------------------------------------------ start */

static void paint_stack(void) {
    const uint32_t *sp; /* all below it is free */
    __asm__ volatile("mov %0, sp" : "=r"(sp));
    for (volatile uint32_t *at = kws_stack_low; at < sp; at++) *at = STACK_PAINT;
}

__attribute__((weak)) void kws_board_init(void) {}

void kws_reset(void) {
    __asm__ volatile("cpsid i" ::: "memory"); /* a boot loader may have left interrupts on, which have no vector here */
    SCB_VTOR = (uint32_t)(uintptr_t)vectors;
    paint_stack();
    const uint32_t *load = kws_data_load;
    for (uint32_t *at = kws_data_start; at < kws_data_end;) *at++ = *load++;
    for (uint32_t *at = kws_bss_start; at < kws_bss_end;) *at++ = 0;
#if defined KWS_CMSIS_NN || defined KWS_MVE /* kernels may use the registers of FPU and MVE */
    SCB_CPACR |= 0xfu << 20;
    __asm__ volatile("dsb\n isb");
#endif
    kws_board_init();
    __asm__ volatile("cpsie i" ::: "memory");
    kws_transport_init();
    kws_ticks_init();
    main();
    for (;;) {}
}

uint32_t kws_stack_used(void) {
    const volatile uint32_t *at = kws_stack_low;
    while (at < kws_stack_top && *at == STACK_PAINT) at++;
    return (uint32_t)((const volatile uint8_t *)kws_stack_top - (const volatile uint8_t *)at);
}

/* A fault tells the host what and where, then stays. The stack may be the culprit: it starts anew. */
__attribute__((used)) void kws_report_fault(const uint32_t *frame) {
    uint32_t exception;
    __asm__ volatile("mrs %0, ipsr" : "=r"(exception));
    const int whole = frame >= kws_stack_low && frame + 8 <= kws_stack_top;
    const uint32_t facts[4] = {exception, whole ? frame[6] : 0, whole ? frame[5] : 0, SCB_CFSR};
    kws_reply(KWS_FAULT, facts, sizeof facts);
    for (;;) {}
}

__attribute__((naked)) void kws_fault(void) {
    __asm__ volatile("mrs r0, msp\n"
                     "ldr r1, =kws_stack_top\n"
                     "mov sp, r1\n"
                     "ldr r1, =kws_report_fault\n" /* may lie too far for a branch of Armv6-M */
                     "bx r1\n");
}

/* ------------------------------------------------------------------ waits and sleep */

enum { PATIENCE = 100000 }; /* passes of a wait: ten cycles or so each, so 6 ms at 168 MHz, 60 ms at 16 MHz */

uint32_t kws_gave_up;

int kws_wait_for(volatile const uint32_t *bits, uint32_t mask, uint32_t value, enum kws_wait wait) {
    for (uint32_t pass = 0; pass < PATIENCE; pass++) {
        if ((*bits & mask) == value) return 1;
    }
    kws_gave_up |= 1u << wait;
    return 0;
}

uint32_t kws_clock_hz(void) { return kws_gave_up & KWS_CLOCK_WAITS ? KWS_SLOW_CLOCK_HZ : KWS_CLOCK_HZ; }

void kws_interrupt_on(uint32_t number, enum kws_urgency urgency) {
    NVIC_IPR(number) = (uint8_t)(urgency << 6);
    NVIC_ISER(number / 32u) = 1u << number % 32u;
}

void kws_interrupt_off(uint32_t number) {
    NVIC_ICER(number / 32u) = 1u << number % 32u;
    __asm__ volatile("dsb\n isb" ::: "memory");
}

void kws_sleep_unless(int (*work)(void)) {
    __asm__ volatile("cpsid i" ::: "memory"); /* an interrupt is held back, and wakes all the same */
    if (!work()) __asm__ volatile("dsb\n wfi" ::: "memory");
    __asm__ volatile("cpsie i" ::: "memory");
}

void kws_doze_unless(int (*work)(void)) {
#if KWS_TICKS_STOP_ASLEEP
    (void)work;
#else
    kws_sleep_unless(work);
#endif
}

/* ------------------------------------------------------------------ ticks */

static volatile uint32_t wraps;

static void count_wrap(void) { wraps++; }

void kws_ticks_init(void) {
    SYST_RVR = TICK_MASK;
    SYST_CVR = 0;
    SYST_CSR = 7; /* processor clock, interrupt, on */
}

uint32_t kws_ticks(void) {
    uint32_t before, value;
    do {
        before = wraps;
        value = SYST_CVR;
    } while (before != wraps);
    return (before << 24) + (TICK_MASK - value);
}

__attribute__((naked)) void kws_spin(uint32_t count __attribute__((unused))) {
    __asm__ volatile("1: subs r0, r0, #1\n"
                     "bne 1b\n"
                     "bx lr\n");
}
