/* CRC-32 of IEEE 802.3, zlib's: starts as UINT32_MAX and is inverted at the end. */
#ifndef KWS_CRC_H
#define KWS_CRC_H

#include <stddef.h>
#include <stdint.h>

/* `crc` with `count` more bytes. */
uint32_t kws_crc(uint32_t crc, const uint8_t *bytes, size_t count);

#endif
