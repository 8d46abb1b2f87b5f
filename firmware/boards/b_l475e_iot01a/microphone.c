/* MP34DT01 at DFSDM1 (RM0351, section 24): clock PE9, data PE7, channel 2 (left, rising edge) into filter 0, and DMA1
 * channel 4 into two blocks. 80 MHz / 40 = 2 MHz, / 125 = 16 kHz. */
#include "kws_audio.h"
#include "kws_board.h"
#include "kws_core.h"
#include "kws_stm32l4.h"

#define CHANNEL(n, offset) KWS_REG(0x40016000u + 0x20u * (n) + (offset))
#define CHCFGR1(n) CHANNEL(n, 0x00)
#define CHCFGR2(n) CHANNEL(n, 0x04)
#define FILTER0(offset) KWS_REG(0x40016100u + (offset))
#define FLTCR1 FILTER0(0x00)
#define FLTFCR FILTER0(0x14)
#define FLTRDATAR 0x4001611cu /* the result, signed, in bits 31 to 8 */
#define DMA1(offset) KWS_REG(0x40020000u + (offset))
#define DMA_ISR DMA1(0x00)
#define DMA_IFCR DMA1(0x04)
#define DMA_CCR4 DMA1(0x44)
#define DMA_CNDTR4 DMA1(0x48)
#define DMA_CPAR4 DMA1(0x4c)
#define DMA_CMAR4 DMA1(0x50)
#define DMA_CSELR DMA1(0xa8)

enum { DFSDM1_ON = 1 << 24, GPIOE_ON = 1 << 4, DMA1_ON = 1 << 0 }; /* RCC_APB2ENR, RCC_AHB2ENR, RCC_AHB1ENR */
enum { DFSDM1_FUNCTION = 6, CLOCK_PIN = 9, DATA_PIN = 7 };
#define DFSDMEN (1u << 31)                                   /* CHCFGR1 of channel 0: the whole of DFSDM1 */
enum { CKOUTDIV = (40 - 1) << 16 };                           /* the same: of the clock that goes out */
enum { CHEN = 1 << 7, SPICKSEL_CKOUT = 1 << 2, SITP_RISING = 0 }; /* CHCFGR1: channel on, its clock and edge */
enum { DTRBS = 5 << 3 };                                      /* CHCFGR2: 125^4 is 27.9 bits, 24 fit */
#define FORD_4 (4u << 29)                                     /* FLTFCR: sinc of order 4 */
enum { FOSR = (125 - 1) << 16 };                              /* FLTFCR: samples in, of each out */
enum { DFEN = 1 << 0, RSWSTART = 1 << 17, RCONT = 1 << 18, RDMAEN = 1 << 21, RCH_2 = 2 << 24 }; /* FLTCR1 */
enum { EN = 1, TCIE = 2, HTIE = 4, CIRC = 1 << 5, MINC = 1 << 7, PSIZE_32 = 2 << 8, MSIZE_32 = 2 << 10 }; /* CCR4 */
enum { TCIF4 = 1 << 13, HTIF4 = 1 << 14, BOTH_FULL = TCIF4 | HTIF4 }; /* ISR and IFCR */
enum { C4S = 15 << 12 };                                               /* CSELR: 0 is DFSDM1's filter 0 */
enum { BLOCK = 80 };

void kws_microphone_interrupt(void);

static int32_t blocks[2][BLOCK];

static void start_dma(void) {
    KWS_RCC_AHB1ENR |= DMA1_ON;
    DMA_CSELR &= ~(uint32_t)C4S;
    DMA_CPAR4 = FLTRDATAR;
    DMA_CMAR4 = (uint32_t)(uintptr_t)blocks;
    DMA_CNDTR4 = 2 * BLOCK;
    DMA_CCR4 = MSIZE_32 | PSIZE_32 | MINC | CIRC | HTIE | TCIE | EN;
    kws_interrupt_on(KWS_MICROPHONE_INTERRUPT, KWS_PATIENT);
}

void kws_microphone_start(void) {
    const uint32_t port = KWS_PORT(KWS_GPIOA, 'E');
    KWS_RCC_AHB2ENR |= GPIOE_ON;
    KWS_RCC_APB2ENR |= DFSDM1_ON;
    kws_pin_alternate(port, CLOCK_PIN, DFSDM1_FUNCTION);
    kws_pin_alternate(port, DATA_PIN, DFSDM1_FUNCTION);
    start_dma();
    CHCFGR1(0) = CKOUTDIV;
    CHCFGR1(0) = CKOUTDIV | DFSDMEN;
    CHCFGR2(2) = DTRBS;
    CHCFGR1(2) = SPICKSEL_CKOUT | SITP_RISING;
    CHCFGR1(2) |= CHEN;
    FLTFCR = FORD_4 | FOSR;
    FLTCR1 = RCH_2 | RDMAEN | RCONT;
    FLTCR1 |= DFEN;
    FLTCR1 |= RSWSTART;
}

/* A sample's 16 bits are the upper half of its word. */
static void put_block(const int32_t *words) {
    int16_t samples[BLOCK];
    for (int i = 0; i < BLOCK; i++) samples[i] = (int16_t)(words[i] >> 16);
    kws_audio_put(samples, BLOCK);
}

void kws_microphone_interrupt(void) {
    const uint32_t full = DMA_ISR & BOTH_FULL;
    DMA_IFCR = full;
    const int late = full == BOTH_FULL; /* then DMA is in one of the two again */
    if (late) kws_audio_miss(BLOCK);
    put_block(blocks[late ? DMA_CNDTR4 > BLOCK : full == TCIF4]);
}
