package dev.ferry.reactor;

/**
 * What differs between the processors that Ferry runs on: numbers of system calls, and flags that grew differently.
 * Source: the kernel's {@code arch/x86/entry/syscalls/syscall_64.tbl} and {@code include/uapi/asm-generic/unistd.h}.
 */
record Architecture(boolean arm) {
    static final Architecture HERE = detect();

    private static Architecture detect() {
        String name = System.getProperty("os.arch", "");
        if (!System.getProperty("os.name", "").equals("Linux")) {
            throw new UnsupportedOperationException("Ferry runs on Linux");
        }
        return switch (name) {
            case "amd64", "x86_64" -> new Architecture(false);
            case "aarch64" -> new Architecture(true);
            default -> throw new UnsupportedOperationException("Ferry does not know the processor " + name);
        };
    }

    long pick(int x86, int arm64) {
        return arm ? arm64 : x86;
    }

    int directFlag() {
        return arm ? 0x10000 : 0x4000;
    }

    int noFollowFlag() {
        return arm ? 0x8000 : 0x20000;
    }

    int directoryFlag() {
        return arm ? 0x4000 : 0x10000;
    }

    /** An epoll_event is packed on x86-64 only. */
    int epollEventBytes() {
        return arm ? 16 : 12;
    }

    int epollDataOffset() {
        return arm ? 8 : 4;
    }
}
