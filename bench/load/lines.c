/* The lines of a file, one behind the other, each with a zero at its end. */
#include "lines.h"

#include "report.h"

#include <errno.h>
#include <string.h>

struct lines lines_read(const char *path)
{
    struct lines lines = {0};
    char line[8192];
    if (!path)
        return lines;
    FILE *file = fopen(path, "r");
    if (!file)
        fail("%s: %s", path, strerror(errno));
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\r\n")] = 0;
        bytes_append(&lines.text, line, strlen(line) + 1);
        lines.count++;
    }
    fclose(file);
    return lines;
}

void lines_free(struct lines *lines)
{
    bytes_free(&lines->text);
}

const char *lines_next(const struct lines *lines, const char *line)
{
    return line ? line + strlen(line) + 1 : lines->text.at;
}
