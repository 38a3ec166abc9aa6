package dev.ferry.bench;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** A load by fio's nbd engine: one connection, so many requests in flight. */
final class Fio {
    private static final JsonMapper JSON = JsonMapper.builder().build();

    private Fio() {}

    /** Runs {@code workload} on the export for {@code seconds}. */
    static LoadResult run(Path scratch, String uri, long sizeBytes, Workload workload, int seconds) {
        List<String> command = new ArrayList<>(List.of("fio", "--name=load", "--ioengine=nbd", "--uri=" + uri));
        command.addAll(List.of("--rw=" + workload.pattern(), "--bs=" + workload.blockBytes()));
        command.addAll(List.of("--iodepth=" + workload.depth(), "--size=" + sizeBytes));
        command.addAll(List.of("--time_based", "--runtime=" + seconds, "--randrepeat=0", "--norandommap"));
        command.addAll(List.of("--output-format=json", "--eta=never"));
        String output = Program.run(scratch, command);
        // Notes of fio may stand before the object.
        JsonNode job = JSON.readTree(output.substring(output.indexOf('{')))
                .path("jobs")
                .path(0);
        if (job.path("error").asInt() != 0) {
            throw new BenchException("fio met error " + job.path("error").asInt() + " on " + uri);
        }
        JsonNode side = job.path(workload.reads() ? "read" : "write");
        return new LoadResult(
                side.path("total_ios").asLong(),
                side.path("iops").asDouble(),
                side.path("clat_ns").path("percentile").path("50.000000").asDouble() / 1000);
    }
}
