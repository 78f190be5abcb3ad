/* children.h - what programs that this one starts get to know of hakmem. */
#ifndef HAK_CHILDREN_H
#define HAK_CHILDREN_H

/* Takes the library out of LD_PRELOAD and HAKMEM_* out of the process's environment, which is changed in place: it is
 * what execve is given. While there is one thread. */
void children_exclude(char **environment);

#endif
