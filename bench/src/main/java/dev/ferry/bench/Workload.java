package dev.ferry.bench;

/**
 * A pattern of requests.
 *
 * @param pattern fio's name: randread, randwrite, read, write
 * @param blockBytes the length of each request
 * @param depth requests in flight
 */
record Workload(String pattern, int blockBytes, int depth) {
    boolean reads() {
        return pattern.endsWith("read");
    }

    boolean random() {
        return pattern.startsWith("rand");
    }

    String name() {
        String order = random() ? "random" : "sequential";
        return (blockBytes >> 10) + "k " + order + " " + (reads() ? "read" : "write") + " qd" + depth;
    }
}
