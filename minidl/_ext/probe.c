/* Prints the level that the kernels would be chosen by, for a build that compiles no others. */
#include <stdio.h>

#include "cpu.h"

int main(void) {
    printf("%d\n", minidl_x86_64_level());
    return 0;
}
