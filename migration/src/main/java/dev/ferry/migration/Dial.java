package dev.ferry.migration;

import dev.ferry.block.Loop;
import dev.ferry.migration.copy.Copier;
import dev.ferry.migration.copy.Paced;
import dev.ferry.migration.copy.Verifier;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * A copier, and the rounds of a comparison and whatever else works beside it, turned together; and what the rounds have done.
 * Thread: the loop's.
 */
final class Dial implements Paced {
    private final Loop loop;
    private @Nullable Copier copier;
    private @Nullable Verifier round;
    private @Nullable Paced beside;
    private int regions = 1;
    private int requestBytes = 64 << 10;
    private long pace;
    private long comparedBytes;
    private long comparingNanos;
    private long begunNanos;

    Dial(Loop loop) {
        this.loop = loop;
    }

    void copies(Copier turned) {
        copier = turned;
    }

    /** @param other turned with the copier from now on, in place of an earlier one; null: none is */
    void beside(@Nullable Paced other) {
        beside = other;
        if (other != null) {
            other.effort(regions, requestBytes);
            other.pace(pace);
        }
    }

    /** A round begins, whoever turns it. */
    void begins(Verifier begun) {
        round = begun;
        begunNanos = loop.nanoTime();
    }

    /** Turns a round to where the dial is. */
    void turn(Verifier begun) {
        begun.effort(regions, requestBytes);
        begun.pace(pace);
    }

    /** The round is over. */
    void ended() {
        comparedBytes = comparedBytes();
        comparingNanos = comparingNanos();
        round = null;
    }

    /** By all rounds together. */
    long comparedBytes() {
        Verifier running = round;
        return comparedBytes + (running == null ? 0 : running.workedBytes());
    }

    /** How long rounds have been under way, together. */
    long comparingNanos() {
        return comparingNanos + (round == null ? 0 : loop.nanoTime() - begunNanos);
    }

    @Override
    public void effort(int newRegions, int newRequestBytes) {
        regions = newRegions;
        requestBytes = newRequestBytes;
        Objects.requireNonNull(copier).effort(regions, requestBytes);
        for (Paced other : others()) {
            other.effort(regions, requestBytes);
        }
    }

    @Override
    public void pace(long bytesPerSecond) {
        pace = bytesPerSecond;
        Objects.requireNonNull(copier).pace(pace);
        for (Paced other : others()) {
            other.pace(pace);
        }
    }

    private List<Paced> others() {
        return Stream.of(round, beside).filter(Objects::nonNull).toList();
    }

    @Override
    public long workedBytes() {
        return Objects.requireNonNull(copier).workedBytes() + comparedBytes();
    }
}
