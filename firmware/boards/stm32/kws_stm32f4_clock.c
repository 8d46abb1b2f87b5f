#include "kws_core.h"
#include "kws_stm32f4.h"

/* RM0090, sections 3.9.1 and 7.3 */
#define FLASH_ACR KWS_REG(0x40023c00u)
#define RCC_CR KWS_RCC(0x00)
#define RCC_PLLCFGR KWS_RCC(0x04)
#define RCC_CFGR KWS_RCC(0x08)

enum { HSEON = 1 << 16, HSERDY = 1 << 17, PLLON = 1 << 24, PLLRDY = 1 << 25 };                /* RCC_CR */
enum { PLL_N_336 = 336 << 6, PLL_P_2 = 0 << 16, PLL_FROM_HSE = 1 << 22, PLL_Q_7 = 7 << 24 };  /* RCC_PLLCFGR */
enum { PPRE1_4 = 5 << 10, PPRE2_2 = 4 << 13, SW_PLL = 2, SWS = 3 << 2, SWS_PLL = 2 << 2 };     /* RCC_CFGR */
enum { WAITS_5 = 5, LATENCY = 7, PREFETCH = 1 << 8, CODE_CACHE = 1 << 9, DATA_CACHE = 1 << 10 }; /* FLASH_ACR */

/* 1 MHz in, 336 MHz within, 168 MHz out. */
static int start_pll(void) {
    RCC_CR |= HSEON;
    if (!kws_wait_for(&RCC_CR, HSERDY, HSERDY, KWS_WAIT_CRYSTAL)) return 0;
    RCC_PLLCFGR = KWS_CRYSTAL_MHZ | PLL_N_336 | PLL_P_2 | PLL_FROM_HSE | PLL_Q_7;
    RCC_CR |= PLLON;
    return kws_wait_for(&RCC_CR, PLLRDY, PLLRDY, KWS_WAIT_PLL);
}

/* Five wait states at 168 MHz and 2.7 to 3.6 V (RM0090, table 10), hidden behind prefetch and caches; they must be in
 * force before the switch. */
static int slow_flash(void) {
    FLASH_ACR = WAITS_5 | PREFETCH | CODE_CACHE | DATA_CACHE;
    return kws_wait_for(&FLASH_ACR, LATENCY, WAITS_5, KWS_WAIT_FLASH);
}

int kws_stm32f4_clock(void) {
    if (!start_pll() || !slow_flash()) return 0;
    RCC_CFGR = PPRE1_4 | PPRE2_2; /* before the switch: APB1 takes at most 42, APB2 84 MHz */
    RCC_CFGR = PPRE1_4 | PPRE2_2 | SW_PLL;
    if (kws_wait_for(&RCC_CFGR, SWS, SWS_PLL, KWS_WAIT_CLOCK)) return 1;
    RCC_CFGR = 0; /* the internal oscillator, undivided */
    return 0;
}
