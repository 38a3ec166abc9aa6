package dev.ferry.bench;

import java.util.List;

/**
 * What a guest does while its disk moves by one strategy or another; the same for all of them.
 *
 * @param name what tables call it
 * @param what it is, in words
 * @param fio how fio is told
 */
record StrategyLoad(String name, String what, List<String> fio) {
    /** Paced, so that every strategy has something to do and a chance to end. */
    static final List<StrategyLoad> ALL = List.of(
            new StrategyLoad(
                    "sequential",
                    "writes of 64 KiB one after the other, 400 a second",
                    List.of("--rw=write", "--bs=64k", "--rate_iops=400")),
            new StrategyLoad(
                    "random",
                    "writes of 4 KiB all over the disk, 1000 a second",
                    List.of("--rw=randwrite", "--bs=4k", "--rate_iops=1000")),
            new StrategyLoad(
                    "hot spot",
                    "writes of 4 KiB, 95 of 100 in one fiftieth of the disk, 2000 a second",
                    List.of("--rw=randwrite", "--bs=4k", "--random_distribution=zoned:95/2:5/98", "--rate_iops=2000")),
            new StrategyLoad(
                    "mixed",
                    "like a database: 8 KiB, seven reads to three writes, some blocks far more often, 1000 reads and 430"
                            + " writes a second",
                    List.of(
                            "--rw=randrw",
                            "--rwmixread=70",
                            "--bs=8k",
                            "--random_distribution=zipf:1.1",
                            "--rate_iops=1000,430")));
}
