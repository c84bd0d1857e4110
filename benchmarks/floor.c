/* What the kernel alone costs: the same calls that sdmtop makes, made by a C program.
 *
 *   floor replay SCRIPT             the calls that SCRIPT lists (see benchmarks/calls.py)
 *   floor counters LIST ROUNDS      every file in LIST kept open, pread and compared each round
 *   floor interrupts FILE ROUNDS COMMAND
 *                                   every cell of a table like /proc/interrupts; the command, run
 *                                   before each round, lets interrupts come
 *
 * Prints one number a line: milliseconds of each round. What is prepared before is not timed.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FILE_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
       DIRECTORY_FLAGS = O_RDONLY | O_CLOEXEC | O_DIRECTORY,
       PAGE = 4096, CHUNK = 65536 };

static char buffer[CHUNK];

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* The whole file, with room behind it for a terminating NUL. */
static char *slurp(const char *path, size_t *size)
{
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        die(path);
    size_t room = 1 << 20, used = 0;
    char *text = malloc(room);
    for (;;) {
        if (used + CHUNK + 1 > room)
            text = realloc(text, room *= 2);
        ssize_t got = read(fd, text + used, CHUNK);
        if (got < 0)
            die(path);
        if (got == 0)
            break;
        used += got;
    }
    close(fd);
    text[used] = 0;
    *size = used;
    return text;
}

static char **lines_of(char *text, size_t *count)
{
    size_t room = 1024;
    char **lines = malloc(room * sizeof *lines);
    *count = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        if (*count == room)
            lines = realloc(lines, (room *= 2) * sizeof *lines);
        lines[(*count)++] = line;
    }
    return lines;
}

/* Reads as os.read does until the end, or one read only (`once`). */
static void take(int directory, const char *path, int once)
{
    int fd = openat(directory, path, FILE_FLAGS);
    if (fd < 0)
        return;
    if (once)
        (void)!read(fd, buffer, PAGE);
    else
        while (read(fd, buffer, CHUNK) > 0)
            ;
    close(fd);
}

static void replay(char **calls, size_t count)
{
    int directory = -1;
    for (size_t i = 0; i < count; i++) {
        char *path = calls[i] + 1;
        switch (calls[i][0]) {
        case 'D': directory = open(path, DIRECTORY_FLAGS); break;
        case 'f': take(directory, path, 1); break;
        case 'l': (void)!readlinkat(directory, path, buffer, PAGE); break;
        case 'd': close(directory); break;
        case 'r': take(AT_FDCWD, path, 0); break;
        case 'k': (void)!readlink(path, buffer, PAGE); break;
        case 's': { struct stat s; stat(path, &s); break; }
        case 'p': {
            char *file = strchr(path, ' ') + 1;
            int size = atoi(path), offset = atoi(strchr(path, ',') + 1);
            int fd = open(file, FILE_FLAGS);
            if (fd >= 0) {
                (void)!pread(fd, buffer, size, offset);
                close(fd);
            }
            break;
        }
        case 'L': {
            DIR *listing = opendir(path);
            if (listing) {
                while (readdir(listing))
                    ;
                closedir(listing);
            }
            break;
        }
        default: fprintf(stderr, "bad call: %s\n", calls[i]); exit(2);
        }
    }
}

static void counters(char **paths, size_t count, int rounds)
{
    struct rlimit limit = { 0 };
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    int *fds = malloc(count * sizeof *fds);
    struct { ssize_t size; char text[64]; } *last = calloc(count, sizeof *last);
    for (size_t i = 0; i < count; i++)
        if ((fds[i] = open(paths[i], FILE_FLAGS)) < 0)
            die(paths[i]);
    for (int round = 0; round < rounds; round++) {
        size_t changed = 0;
        double begin = now();
        for (size_t i = 0; i < count; i++) {
            ssize_t got = pread(fds[i], buffer, PAGE, 0);
            if (got < 0)
                die(paths[i]);
            size_t kept = (size_t)got < sizeof last[i].text ? (size_t)got : sizeof last[i].text;
            if (got != last[i].size || memcmp(buffer, last[i].text, kept)) {
                last[i].size = got;
                memcpy(last[i].text, buffer, kept);
                changed++;
            }
        }
        double spent = now() - begin;
        printf("%.4f\n", spent);
        fflush(stdout);
        if (changed == count + 1) /* Keeps the comparison from being optimised away. */
            puts("");
    }
}

static void interrupts(const char *path, int rounds, const char *command)
{
    uint64_t sum = 0;
    char *text = malloc(64 << 20);
    for (int round = 0; round < rounds; round++) {
        if (system(command))
            die(command);
        double begin = now();
        int fd = open(path, FILE_FLAGS);
        if (fd < 0)
            die(path);
        size_t size = 0;
        for (ssize_t got; (got = read(fd, text + size, 1 << 20)) > 0;)
            size += got;
        close(fd);
        text[size] = 0;
        char *at = text, *end = text + size;
        int columns = 0;
        for (; at < end && *at != '\n'; at++)
            columns += *at == 'C';
        at++;
        while (at < end) {
            while (at < end && *at != ':')
                at++;
            at++;
            uint64_t total = 0;
            for (int column = 0; column < columns && at < end; column++) {
                while (*at == ' ')
                    at++;
                if (*at < '0' || *at > '9')
                    break;
                uint64_t value = 0;
                while (*at >= '0' && *at <= '9')
                    value = value * 10 + (*at++ - '0');
                total += value;
            }
            sum += total;
            while (at < end && *at != '\n')
                at++;
            at++;
        }
        printf("%.4f\n", now() - begin);
        fflush(stdout);
    }
    if (sum == 1) /* Keeps the parsing from being optimised away. */
        puts("");
}

int main(int count, char **arguments)
{
    size_t size, lines;
    if (count == 3 && !strcmp(arguments[1], "replay")) {
        char **calls = lines_of(slurp(arguments[2], &size), &lines);
        double begin = now();
        replay(calls, lines);
        printf("%.4f\n", now() - begin);
    } else if (count == 4 && !strcmp(arguments[1], "counters")) {
        char **paths = lines_of(slurp(arguments[2], &size), &lines);
        counters(paths, lines, atoi(arguments[3]));
    } else if (count == 5 && !strcmp(arguments[1], "interrupts")) {
        interrupts(arguments[2], atoi(arguments[3]), arguments[4]);
    } else {
        fprintf(stderr, "usage: see the top of floor.c\n");
        return 2;
    }
    return 0;
}
