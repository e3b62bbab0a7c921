/* Makes the golden programs: libseccomp's, from the rules on standard input, as runc asks libseccomp for them.
 *
 *   default ACTION            first, once
 *   arch TOKEN                AUDIT_ARCH_* (x32: libseccomp's own token)
 *   without TOKEN             not this machine's own architecture
 *   rule ACTION NAME [INDEX OPERATOR VALUE SECOND]...
 *
 * All numbers but those in rules' comparisons are hexadecimal. The program goes to standard output. */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *what, int code)
{
    fprintf(stderr, "%s: %s\n", what, strerror(code < 0 ? -code : code));
    exit(1);
}

int main(void)
{
    static char line[1024];
    scmp_filter_ctx filter = NULL;
    int rules = 0;
    while (fgets(line, sizeof line, stdin)) {
        char word[16], name[128];
        unsigned action;
        int used, code;
        if (sscanf(line, "%15s %x%n", word, &action, &used) != 2)
            fail(line, EINVAL);
        if (!strcmp(word, "default")) {
            filter = seccomp_init(action);
        } else if (!strcmp(word, "arch")) {
            code = seccomp_arch_add(filter, action);
            if (code && code != -EEXIST)
                fail("seccomp_arch_add", code);
        } else if (!strcmp(word, "without")) {
            code = seccomp_arch_remove(filter, action);
            if (code)
                fail("seccomp_arch_remove", code);
        } else {
            struct scmp_arg_cmp all[6];
            unsigned count = 0, index, operator;
            unsigned long long value, second;
            char *at = line + used;
            if (sscanf(at, "%127s%n", name, &used) != 1)
                fail(line, EINVAL);
            for (at += used; count < 6 && sscanf(at, "%u %u %llu %llu%n", &index, &operator, &value, &second, &used) == 4; at += used)
                all[count++] = (struct scmp_arg_cmp){index, operator, value, second};
            int number = seccomp_syscall_resolve_name(name);
            if (number == __NR_SCMP_ERROR)
                fail(name, ENOSYS);
            code = seccomp_rule_add_array(filter, action, number, count, all);
            if (code)
                fail(line, code);
            rules++;
        }
    }
    if (rules > 32)
        seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    int code = seccomp_export_bpf(filter, 1);
    if (code)
        fail("seccomp_export_bpf", code);
    return 0;
}
