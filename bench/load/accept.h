/* How a server proves that it understood the handshake: RFC 6455, section 4.2.2. */
#ifndef ACCEPT_H
#define ACCEPT_H

enum { KEY_LENGTH = 24, ACCEPT_LENGTH = 28 };

/* Write the key that stands for the 16 bytes of `random`, as text. */
void handshake_key(const unsigned char random[16], char key[KEY_LENGTH + 1]);
/* Write what a server has to answer to `key`, as text. */
void handshake_accept(const char key[KEY_LENGTH], char accept[ACCEPT_LENGTH + 1]);

#endif
