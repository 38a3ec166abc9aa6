package dev.ferry.server;

import dev.ferry.reactor.EventLoops;

/**
 * How a daemon runs.
 *
 * @param threads event loops; 0: one for each processor
 * @param loop which kind
 * @param direct disks are opened past the page cache
 * @param tableBytes bound on the memory for the tables of each qcow2 disk, in bytes
 */
public record DaemonSettings(DataDirectory data, int threads, EventLoops.Kind loop, boolean direct, long tableBytes) {}
