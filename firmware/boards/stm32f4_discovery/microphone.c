/* MP45DT02 at SPI2 as I2S (RM0090, section 28): clock PB10, data PC3, DMA1 stream 3 into two blocks of PDM. PLLI2S gives
 * 1 MHz x 256 / 5 = 51.2 MHz, / 50 = 1.024 MHz, / 64 = 16 kHz exactly. */
#include "kws_audio.h"
#include "kws_board.h"
#include "kws_core.h"
#include "kws_pdm.h"
#include "kws_stm32f4.h"

#define RCC_CR KWS_RCC(0x00)
#define RCC_PLLI2SCFGR KWS_RCC(0x84)
#define SPI2(offset) KWS_REG(0x40003800u + (offset))
#define SPI_CR2 SPI2(0x04)
#define SPI_DR 0x4000380cu
#define SPI_I2SCFGR SPI2(0x1c)
#define SPI_I2SPR SPI2(0x20)
#define DMA1(offset) KWS_REG(0x40026000u + (offset))
#define DMA_LISR DMA1(0x00)
#define DMA_LIFCR DMA1(0x08)
#define DMA_S3CR DMA1(0x58)
#define DMA_S3NDTR DMA1(0x5c)
#define DMA_S3PAR DMA1(0x60)
#define DMA_S3M0AR DMA1(0x64)

enum { GPIOB_ON = 1 << 1, GPIOC_ON = 1 << 2, DMA1_ON = 1 << 21, SPI2_ON = 1 << 14 }; /* RCC_AHB1ENR, RCC_APB1ENR */
enum { PLLI2SON = 1 << 26, PLLI2SRDY = 1 << 27 };                                    /* RCC_CR */
enum { PLLI2S_N_256 = 256 << 6, PLLI2S_R_5 = 5 << 28 };                              /* RCC_PLLI2SCFGR */
enum { SPI2_FUNCTION = 5, CLOCK_PIN = 10, DATA_PIN = 3 };
enum { I2SDIV_25 = 25 };                                                             /* SPI_I2SPR: bit clock / 2 x 25 */
enum { CKPOL_HIGH = 1 << 3, LSB_JUSTIFIED = 2 << 4, MASTER_RECEIVE = 3 << 8, I2SE = 1 << 10, I2SMOD = 1 << 11 };
enum { RXDMAEN = 1 };                                                                /* SPI_CR2 */
enum { EN = 1, HTIE = 1 << 3, TCIE = 1 << 4, CIRC = 1 << 8, MINC = 1 << 10, PSIZE_16 = 1 << 11, MSIZE_16 = 1 << 13 };
enum { ALL_FLAGS_3 = 0x3d << 22, HTIF3 = 1 << 26, TCIF3 = 1 << 27, BOTH_FULL = HTIF3 | TCIF3 }; /* DMA_LIFCR, _LISR */
enum { BLOCK = 40, WORDS = BLOCK * KWS_PDM_WORDS };

void kws_microphone_interrupt(void);

static uint16_t blocks[2][WORDS];
static kws_pdm decimator;

static int start_clock(void) {
    RCC_PLLI2SCFGR = PLLI2S_N_256 | PLLI2S_R_5;
    RCC_CR |= PLLI2SON;
    return kws_wait_for(&RCC_CR, PLLI2SRDY, PLLI2SRDY, KWS_WAIT_MICROPHONE);
}

static void start_dma(void) { /* channel 0 of stream 3 is SPI2_RX */
    DMA_LIFCR = ALL_FLAGS_3;
    DMA_S3PAR = SPI_DR;
    DMA_S3M0AR = (uint32_t)(uintptr_t)blocks;
    DMA_S3NDTR = 2 * WORDS;
    DMA_S3CR = MSIZE_16 | PSIZE_16 | MINC | CIRC | TCIE | HTIE;
    DMA_S3CR |= EN;
    kws_interrupt_on(KWS_MICROPHONE_INTERRUPT, KWS_PATIENT);
}

void kws_microphone_start(void) {
    KWS_RCC_AHB1ENR |= GPIOB_ON | GPIOC_ON | DMA1_ON;
    KWS_RCC_APB1ENR |= SPI2_ON;
    kws_pin_alternate(KWS_PORT(KWS_GPIOA, 'B'), CLOCK_PIN, SPI2_FUNCTION);
    kws_pin_alternate(KWS_PORT(KWS_GPIOA, 'C'), DATA_PIN, SPI2_FUNCTION);
    if (!start_clock()) return;
    start_dma();
    SPI_I2SPR = I2SDIV_25;
    SPI_I2SCFGR = I2SMOD | MASTER_RECEIVE | LSB_JUSTIFIED | CKPOL_HIGH;
    SPI_CR2 = RXDMAEN;
    SPI_I2SCFGR |= I2SE;
}

void kws_microphone_interrupt(void) {
    int16_t samples[BLOCK];
    const uint32_t full = DMA_LISR & BOTH_FULL;
    DMA_LIFCR = full;
    if (!kws_audio_is_open()) return;
    const int late = full == BOTH_FULL; /* then DMA is in one of the two again */
    const uint32_t half = late ? DMA_S3NDTR > WORDS : full == TCIF3;
    if (late) kws_audio_miss(BLOCK);
    kws_pdm_samples(&decimator, blocks[half], samples, BLOCK);
    kws_audio_put(samples, BLOCK);
}
