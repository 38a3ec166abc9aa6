package dev.ferry.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import tools.jackson.databind.JsonNode;

/**
 * How long guests wait when the four disks of one move are switched together, and when they go back: each round's figure is
 * that of the disk that waited longest, under a real daemon, with a guest at work on each disk.
 *
 * <p>As a program, {@code ./trial passages ROUNDS}.
 *
 * @param thereMillis of each round
 * @param backMillis of each round
 */
record PassageTimes(List<Double> thereMillis, List<Double> backMillis) {
    private static final String[] DISKS = {"vm0", "vm1", "vm2", "vm3"};
    private static final int SIZE_MIB = 8;

    public static void main(String[] arguments) throws Exception {
        System.out.println(measure(Integer.parseInt(arguments[0])));
    }

    static PassageTimes measure(int rounds) throws Exception {
        List<Double> there = new ArrayList<>();
        List<Double> back = new ArrayList<>();
        try (FerryHost host = FerryHost.started()) {
            List<TortureGuest> guests = new ArrayList<>();
            try {
                for (String disk : DISKS) {
                    host.run("disk", "create", disk, "--datastore", "fast", "--size", SIZE_MIB + "M")
                            .done();
                    String uri = host.run("disk", "attach", disk).done().out().strip();
                    guests.add(new TortureGuest(uri, (long) SIZE_MIB << 20, guests.size()));
                }
                for (int round = 0; round < rounds; round++) {
                    String id = WayBackOutageTest.start(host, DISKS);
                    WayBackOutageTest.untilInStep(host, id);
                    WayBackOutageTest.goOn(guests.getFirst(), 50);
                    host.run("migration", "rollback", id).done();
                    there.add(longest(WayBackOutageTest.show(host, id), "switchoverPauseMillis"));
                    back.add(longest(WayBackOutageTest.show(host, id), "rollbackPauseMillis"));
                }
                for (int i = 0; i < DISKS.length; i++) {
                    guests.get(i).stopAndCheck(WayBackOutageTest.file(host, DISKS[i]));
                }
            } finally {
                for (TortureGuest guest : guests) {
                    guest.close();
                }
            }
        }
        return new PassageTimes(there, back);
    }

    private static double longest(JsonNode move, String figure) {
        double longest = 0;
        for (JsonNode disk : move.path("disks")) {
            longest = Math.max(longest, disk.path(figure).asDouble());
        }
        assertThat(longest).isPositive();
        return longest;
    }

    double thereMedianMillis() {
        return median(thereMillis);
    }

    double backMedianMillis() {
        return median(backMillis);
    }

    private static double median(List<Double> figures) {
        return figures.stream().sorted().toList().get(figures.size() / 2);
    }

    @Override
    public String toString() {
        return String.format(
                Locale.ROOT,
                "four disks, longest pause: there %.1f ms, back %.1f ms in the median of %d rounds (there %s, back %s)",
                thereMedianMillis(),
                backMedianMillis(),
                thereMillis.size(),
                thereMillis,
                backMillis);
    }
}
