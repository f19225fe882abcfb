/* Texts of made-up chat: common English words in a pseudo-random order. */
#include "texts.h"

#include <stdio.h>
#include <string.h>

static const char *const WORDS[] = {
    "a", "about", "after", "again", "all", "also", "always", "am", "an", "and", "another", "any", "are", "around",
    "as", "ask", "at", "away", "back", "bad", "be", "because", "been", "before", "begin", "being", "best", "better",
    "big", "both", "bring", "build", "but", "by", "call", "came", "can", "cannot", "case", "change", "check", "clear",
    "close", "code", "come", "coming", "cool", "could", "coffee", "compile", "config", "container", "correct",
    "course", "database", "day", "deploy", "did", "different", "do", "does", "done", "down", "each", "early", "easy",
    "edit", "either", "else", "end", "enough", "even", "evening", "ever", "every", "everybody", "exactly", "example",
    "fail", "far", "fast", "feel", "few", "file", "find", "fine", "first", "fix", "follow", "for", "forget", "found",
    "friday", "from", "full", "funny", "further", "get", "give", "go", "going", "gone", "good", "got", "great",
    "guess", "had", "half", "hand", "happen", "happy", "hard", "has", "have", "he", "head", "hear", "hello", "help",
    "her", "here", "him", "his", "hold", "home", "hope", "hour", "house", "how", "i", "idea", "if", "important", "in",
    "instead", "into", "is", "issue", "it", "its", "just", "keep", "kind", "knew", "know", "last", "late", "later",
    "least", "leave", "left", "less", "let", "lets", "line", "link", "list", "little", "load", "log", "long", "look",
    "looks", "lost", "lot", "lunch", "made", "mail", "make", "many", "maybe", "me", "mean", "meeting", "merge",
    "message", "might", "mind", "minute", "missing", "moment", "monday", "month", "more", "morning", "most", "move",
    "much", "must", "my", "name", "near", "need", "never", "new", "next", "nice", "night", "no", "nobody", "none",
    "not", "note", "nothing", "now", "number", "of", "off", "office", "often", "old", "on", "once", "one", "only",
    "open", "or", "order", "other", "our", "out", "over", "own", "page", "part", "people", "perhaps", "person",
    "phone", "place", "plan", "play", "please", "point", "possible", "pretty", "problem", "program", "project",
    "push", "put", "question", "quick", "quite", "rather", "read", "ready", "really", "reason", "red", "release",
    "remember", "reply", "report", "restart", "review", "right", "room", "round", "run", "running", "said", "same",
    "saw", "say", "see", "seem", "seen", "send", "server", "set", "she", "short", "should", "show", "side", "since",
    "small", "so", "some", "somebody", "something", "soon", "sorry", "sort", "sounds", "start", "still", "stop",
    "such", "sure", "table", "take", "talk", "team", "tell", "test", "than", "thank", "thanks", "that", "the",
    "their", "them", "then", "there", "these", "they", "thing", "things", "think", "this", "those", "though",
    "thought", "through", "time", "to", "today", "together", "told", "tomorrow", "tonight", "too", "took", "train",
    "tried", "true", "try", "trying", "turn", "two", "under", "understand", "until", "up", "update", "us", "use",
    "used", "useful", "version", "very", "wait", "want", "was", "water", "way", "we", "week", "weekend", "well",
    "went", "were", "what", "when", "where", "which", "while", "who", "whole", "why", "will", "wish", "with",
    "without", "word", "work", "working", "works", "world", "would", "write", "wrong", "year", "yes", "yesterday",
    "yet", "you", "your",
};
enum { WORD_COUNT = sizeof WORDS / sizeof *WORDS };

static uint32_t shuffle(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    return *state ^= *state << 5;
}

void text_write(char *text, size_t size, uint32_t number, uint32_t sender)
{
    uint32_t state = (number * 2654435761u) | 1;
    size_t at = (size_t)sprintf(text, "#%09u %u", number, sender);
    while (at < size) {
        const char *word = WORDS[shuffle(&state) % WORD_COUNT];
        size_t length = strlen(word);
        length = length < size - at - 1 ? length : size - at - 1;
        text[at++] = ' ';
        memcpy(text + at, word, length);
        at += length;
    }
    /* A server may strip a blank from the end. */
    if (text[size - 1] == ' ')
        text[size - 1] = '.';
}

static bool is_number(const char *digits, uint32_t *number)
{
    *number = 0;
    for (int i = 0; i < 9; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return false;
        *number = *number * 10 + (uint32_t)(digits[i] - '0');
    }
    return digits[9] == ' ';
}

bool text_next(const char **at, const char *end, uint32_t *number)
{
    const char *found;
    while (end - *at > 10 && (found = memchr(*at, '#', (size_t)(end - *at - 10)))) {
        *at = found + 1;
        if (is_number(found + 1, number))
            return true;
    }
    return false;
}
