/* trimmed.c - a program that knows nothing of hakmem, which keeps much free memory for it, since it needs it again and
 * again: trimmed [threads]. It pauses when it is told by SIGUSR1, and goes on when it is told once more. With threads
 * there are three more, which make a few calls and then none.
 * SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BLOCKS = 800, SIZE = 20000, ROUND_MS = 5 };

static volatile sig_atomic_t pauses;

static void turn(int number)
{
    (void)number;
    pauses = !pauses;
}

static void round_do(int blocks)
{
    static void *block[BLOCKS];
    for (int i = 0; i < blocks; i++) {
        block[i] = malloc(SIZE);
        if (!block[i])
            exit(3);
        memset(block[i], 1, SIZE);
    }
    for (int i = 0; i < blocks; i++)
        free(block[i]);
}

static void *thread_idle(void *unused)
{
    for (int i = 1; i < 200; i++)
        free(malloc((size_t)i * 64));
    for (;;)
        pause();
    return unused;
}

static void threads_make(void)
{
    pthread_t thread;
    for (int i = 0; i < 3; i++)
        if (pthread_create(&thread, NULL, thread_idle, NULL) != 0)
            exit(3);
}

static void say(const char *word)
{
    if (write(STDOUT_FILENO, word, strlen(word)) < 0)
        exit(3);
}

int main(int argc, char **argv)
{
    sigset_t told, before;
    (void)argv;
    signal(SIGUSR1, turn);
    sigemptyset(&told);
    sigaddset(&told, SIGUSR1);
    sigprocmask(SIG_BLOCK, &told, &before);
    if (argc > 1)
        threads_make();
    for (unsigned rounds = 0;; rounds++) {
        round_do(rounds % 10 == 0 ? BLOCKS : BLOCKS / 10); /* so that much is free most of the time */
        if (rounds == 200)
            say("ready\n");
        if (pauses) {
            say("pauses\n");
            while (pauses)
                sigsuspend(&before);
        }
        sigprocmask(SIG_SETMASK, &before, NULL);
        nanosleep(&(struct timespec){.tv_nsec = ROUND_MS * 1000000}, NULL);
        sigprocmask(SIG_BLOCK, &told, NULL);
    }
}
