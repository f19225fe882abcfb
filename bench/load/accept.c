/* SHA-1 and base64, only as far as a WebSocket handshake needs them: no message is longer than 119 bytes. */
#include "accept.h"

#include <stdint.h>
#include <string.h>

static const char GUID[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

static uint32_t rotate(uint32_t word, int by)
{
    return word << by | word >> (32 - by);
}

static void spread(const unsigned char block[64], uint32_t words[80])
{
    for (int i = 0; i < 16; i++)
        words[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8 |
                   block[4 * i + 3];
    for (int i = 16; i < 80; i++)
        words[i] = rotate(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
}

static uint32_t mix(int round, uint32_t b, uint32_t c, uint32_t d)
{
    switch (round / 20) {
    case 0:
        return ((b & c) | (~b & d)) + 0x5A827999;
    case 1:
        return (b ^ c ^ d) + 0x6ED9EBA1;
    case 2:
        return ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDC;
    default:
        return (b ^ c ^ d) + 0xCA62C1D6;
    }
}

static void digest_block(uint32_t state[5], const unsigned char block[64])
{
    uint32_t words[80], s[5];
    spread(block, words);
    memcpy(s, state, sizeof s);
    for (int i = 0; i < 80; i++) {
        uint32_t next = rotate(s[0], 5) + mix(i, s[1], s[2], s[3]) + s[4] + words[i];
        s[4] = s[3], s[3] = s[2], s[2] = rotate(s[1], 30), s[1] = s[0], s[0] = next;
    }
    for (int i = 0; i < 5; i++)
        state[i] += s[i];
}

/* `length` is at most 119, so that the text and its end fit into two blocks. */
static void sha1(const char *text, size_t length, unsigned char digest[20])
{
    uint32_t state[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    unsigned char blocks[128] = {0};
    size_t size = length < 56 ? 64 : 128;
    memcpy(blocks, text, length);
    blocks[length] = 0x80;
    blocks[size - 2] = (unsigned char)(length * 8 >> 8);
    blocks[size - 1] = (unsigned char)(length * 8);
    for (size_t at = 0; at < size; at += 64)
        digest_block(state, blocks + at);
    for (int i = 0; i < 20; i++)
        digest[i] = (unsigned char)(state[i / 4] >> (24 - i % 4 * 8));
}

static void base64(const unsigned char *from, size_t length, char *to)
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (; length; from += 3, length -= length < 3 ? length : 3) {
        uint32_t three = (uint32_t)from[0] << 16;
        three |= length > 1 ? (uint32_t)from[1] << 8 : 0;
        three |= length > 2 ? from[2] : 0;
        *to++ = DIGITS[three >> 18];
        *to++ = DIGITS[three >> 12 & 63];
        *to++ = length > 1 ? DIGITS[three >> 6 & 63] : '=';
        *to++ = length > 2 ? DIGITS[three & 63] : '=';
    }
    *to = 0;
}

void handshake_key(const unsigned char random[16], char key[KEY_LENGTH + 1])
{
    base64(random, 16, key);
}

void handshake_accept(const char key[KEY_LENGTH], char accept[ACCEPT_LENGTH + 1])
{
    char text[KEY_LENGTH + sizeof GUID];
    unsigned char digest[20];
    memcpy(text, key, KEY_LENGTH);
    memcpy(text + KEY_LENGTH, GUID, sizeof GUID);
    sha1(text, KEY_LENGTH + sizeof GUID - 1, digest);
    base64(digest, sizeof digest, accept);
}
