/* nRF52840: the crystal instead of the internal oscillator, as a UART and a microphone want; and the instruction cache,
 * off at reset, which hides the flash's wait states. Waits are bounded. */
#include <stdint.h>

#include "kws_board.h"
#include "kws_core.h"

#define REG(address) (*(volatile uint32_t *)(address))
#define CLOCK_TASKS_HFCLKSTART REG(0x40000000u)
#define CLOCK_EVENTS_HFCLKSTARTED REG(0x40000100u)
#define NVMC_ICACHECNF REG(0x4001e540u)
#define NVIC_ICER(n) REG(0xe000e180u + 4u * (n))
#define NVIC_ICPR(n) REG(0xe000e280u + 4u * (n))

#define P0_OUTSET REG(0x50000508u)
#define P0_OUTCLR REG(0x5000050cu)
#define P0_DIRSET REG(0x50000518u)

enum { CACHE_ENABLED = 1, LED_PIN = 13 }; /* the orange LED, lit by a high P0.13 */

void kws_board_init(void) {
    for (uint32_t n = 0; n < 2; n++) { /* what the boot loader left on (USB, timers) would fault here */
        NVIC_ICER(n) = UINT32_MAX;
        NVIC_ICPR(n) = UINT32_MAX;
    }
    NVMC_ICACHECNF = CACHE_ENABLED;
    CLOCK_EVENTS_HFCLKSTARTED = 0;
    CLOCK_TASKS_HFCLKSTART = 1;
    kws_wait_for(&CLOCK_EVENTS_HFCLKSTARTED, 1, 1, KWS_WAIT_CRYSTAL); /* about 0.4 ms */
}

void kws_led(int on) {
    P0_DIRSET = 1u << LED_PIN;
    if (on) P0_OUTSET = 1u << LED_PIN;
    else P0_OUTCLR = 1u << LED_PIN;
}
