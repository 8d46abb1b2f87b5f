#include "kws_core.h"
#include "kws_stm32l4.h"

/* RM0351, sections 3.7.1 and 6.4 */
#define FLASH_ACR KWS_REG(0x40022000u)
#define RCC_CR KWS_RCC(0x00)
#define RCC_CFGR KWS_RCC(0x08)
#define RCC_PLLCFGR KWS_RCC(0x0c)

enum { PLLON = 1 << 24, PLLRDY = 1 << 25 };                                              /* RCC_CR */
enum { PLL_FROM_MSI = 1, PLL_M_1 = 0 << 4, PLL_N_SHIFT = 8, PLL_R_2 = 0 << 25, PLL_R_ON = 1 << 24 }; /* RCC_PLLCFGR */
enum { SW_PLL = 3, SWS = 3 << 2, SWS_PLL = 3 << 2, HPRE_2 = 8 << 4 };                      /* RCC_CFGR */
enum { LATENCY = 15, PREFETCH = 1 << 8, CODE_CACHE = 1 << 9, DATA_CACHE = 1 << 10 };       /* FLASH_ACR */
enum { SETTLING = 200 }; /* passes: over a microsecond at 60 MHz */

/* 4 MHz in, four times half_mhz within, twice out. */
static int start_pll(uint32_t half_mhz) {
    RCC_PLLCFGR = PLL_FROM_MSI | PLL_M_1 | half_mhz << PLL_N_SHIFT | PLL_R_2 | PLL_R_ON;
    RCC_CR |= PLLON;
    return kws_wait_for(&RCC_CR, PLLRDY, PLLRDY, KWS_WAIT_PLL);
}

static int slow_flash(uint32_t waits) {
    FLASH_ACR = waits | PREFETCH | CODE_CACHE | DATA_CACHE;
    return kws_wait_for(&FLASH_ACR, LATENCY, waits, KWS_WAIT_FLASH);
}

/* At half the speed for a microsecond first, as RM0432, section 5.1.8, wants it above 80 MHz. */
int kws_stm32l4_clock(uint32_t half_mhz, uint32_t waits) {
    if (!start_pll(half_mhz) || !slow_flash(waits)) return 0;
    RCC_CFGR = HPRE_2;
    RCC_CFGR = HPRE_2 | SW_PLL;
    const int switched = kws_wait_for(&RCC_CFGR, SWS, SWS_PLL, KWS_WAIT_CLOCK);
    kws_spin(SETTLING);
    RCC_CFGR = switched ? SW_PLL : 0;
    return switched;
}
