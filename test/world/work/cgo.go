// Work for Go with cgo: C blocks that goroutines make, pass on and free, on many threads.
// SPDX-License-Identifier: MIT
package main

/*
#include <stdlib.h>
#include <string.h>

static void *make(size_t size, int mark) {
    void *block = malloc(size);
    memset(block, mark, size);
    return block;
}

static int last(void *block, size_t size) {
    return ((unsigned char *)block)[size - 1];
}
*/
import "C"

import (
	"fmt"
	"runtime"
	"sync"
	"unsafe"
)

type block struct {
	at   unsafe.Pointer
	size int
	mark int
}

func main() {
	passed := make(chan block, 100)
	var makers, takers sync.WaitGroup
	var lock sync.Mutex
	sum, wrong := 0, 0
	for n := 0; n < 8; n++ {
		makers.Add(1)
		go func(n int) {
			defer makers.Done()
			runtime.LockOSThread()
			for i := 0; i < 20000; i++ {
				size := 1 + i*7919%(3000+n*2000)
				passed <- block{C.make(C.size_t(size), C.int(i%256)), size, i % 256}
				text := C.CString(fmt.Sprint("text ", i))
				C.free(unsafe.Pointer(text))
			}
		}(n)
		takers.Add(1)
		go func() {
			defer takers.Done()
			for one := range passed {
				found := int(C.last(one.at, C.size_t(one.size)))
				C.free(one.at)
				lock.Lock()
				sum += found
				if found != one.mark {
					wrong++
				}
				lock.Unlock()
			}
		}()
	}
	makers.Wait()
	close(passed)
	takers.Wait()
	fmt.Println(sum, wrong)
}
