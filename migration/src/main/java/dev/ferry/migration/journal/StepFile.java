package dev.ferry.migration.journal;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Invariant;
import dev.ferry.block.Loop;
import dev.ferry.filter.mirror.StepStore;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A record of regions in step, open. The live map is stored to memory that is mapped from its file, so that it is the
 * system's as soon as it is stored; the firm map is written and synced by a worker. A sync that does not end is not waited for
 * for ever, since guests wait for it: then the record is disowned where the target is, and void.
 *
 * <p>Thread: the loop's, but for {@link #close}, which comes when the loop uses it no more.
 */
public final class StepFile implements StepStore {
    private static final Logger LOG = LoggerFactory.getLogger(StepFile.class);
    /** A guest's write waits for a sync; some guests give a disk half a minute. */
    static final long SYNC_NANOS_MAX = 10_000_000_000L;

    private static final ValueLayout.OfLong WORD = ValueLayout.JAVA_LONG.withOrder(ByteOrder.LITTLE_ENDIAN);

    /** Does away with what makes a record mean something, when it can neither be kept true nor be deleted. */
    @FunctionalInterface
    public interface LastResort {
        void run() throws IOException;
    }

    private final FileChannel channel;
    private final MemorySegment live;
    private final long openOffset;
    private final long[] firm;
    private final byte[] digest;
    private final Loop loop;
    private final Executor workers;
    private final LastResort takeAway;
    private final LastResort disown;
    private final LastResort lastResort;
    private final BitSet changed = new BitSet();
    private boolean isVoid;
    private boolean givenUp;
    /** Who waits for the sync that is under way; null if none is, or if it was given up. */
    private @Nullable Completion awaited;

    private Loop.@Nullable Timer overdue;

    StepFile(
            FileChannel channel,
            MemorySegment live,
            long[] firm,
            byte[] digest,
            Loop loop,
            Executor workers,
            LastResort takeAway,
            LastResort disown,
            LastResort lastResort) {
        this.channel = channel;
        this.live = live;
        this.openOffset = StepLayout.LIVE_WORDS_OFFSET + StepLayout.liveRunBytes(firm.length);
        this.firm = firm;
        this.digest = digest;
        this.loop = loop;
        this.workers = workers;
        this.takeAway = takeAway;
        this.disown = disown;
        this.lastResort = lastResort;
    }

    @Override
    public void copied(int word, long bits) {
        store(StepLayout.LIVE_WORDS_OFFSET, word, bits);
    }

    @Override
    public void open(int word, long bits) {
        store(openOffset, word, bits);
    }

    private void store(long from, int word, long bits) {
        if (isVoid) {
            return;
        }
        try {
            live.set(WORD, from + (long) word * Long.BYTES, bits);
        } catch (InternalError lostPage) {
            // The page could not be had from the file system. What is there is no longer true, so it goes at once.
            isVoid = true;
            withdraw(new IOException("the map in memory is lost", lostPage));
        }
    }

    @Override
    public void firm(int word, long bits) {
        firm[word] = bits;
        changed.set(word / StepLayout.BLOCK_WORDS);
    }

    @Override
    public void sync(Completion durable) {
        Invariant.that(awaited == null, "two syncs of a record at once");
        if (isVoid) {
            durable.complete(failure("it is void"));
            return;
        }
        awaited = durable;
        overdue = loop.schedule(SYNC_NANOS_MAX, this::giveUp);
        List<ByteBuffer> blocks = new ArrayList<>();
        List<Integer> numbers = new ArrayList<>();
        for (int block = changed.nextSetBit(0); block >= 0; block = changed.nextSetBit(block + 1)) {
            blocks.add(StepLayout.block(block, firm, digest).clear());
            numbers.add(block);
        }
        changed.clear();
        workers.execute(() -> {
            IOException failed = write(numbers, blocks);
            tell(failed == null ? null : failure(String.valueOf(failed.getMessage())));
        });
    }

    private void tell(@Nullable BlockError error) {
        try {
            loop.execute(() -> ended(error));
        } catch (RejectedExecutionException loopIsGone) {
            LOG.debug("nobody waits for the record any more", loopIsGone);
        }
    }

    /** On the loop. The disk of the record does not answer; the target's is asked to say that the record is not true. */
    private void giveUp() {
        if (awaited == null) {
            return;
        }
        isVoid = true;
        givenUp = true;
        BlockError late = BlockError.of(
                ErrorKind.TIMED_OUT,
                "record of what was copied",
                "write",
                "its disk did not answer within " + SYNC_NANOS_MAX / 1_000_000_000 + " s");
        LOG.error("{}; the record is given up", late.message());
        overdue = loop.schedule(SYNC_NANOS_MAX, () -> {
            LOG.error(
                    "nor can it be said at the target that the record is not true, in time: until it is, a loss of power would"
                            + " leave a target that only its verification tells from a good one");
            ended(late);
        });
        workers.execute(() -> {
            attempt(disown);
            tell(late);
        });
    }

    /** On a worker. A record that could not be written has been withdrawn when this returns. */
    private @Nullable IOException write(List<Integer> numbers, List<ByteBuffer> blocks) {
        try {
            for (int i = 0; i < blocks.size(); i++) {
                ByteBuffer block = blocks.get(i);
                long offset = StepLayout.blockOffset(numbers.get(i));
                while (block.hasRemaining()) {
                    channel.write(block, offset + block.position());
                }
            }
            channel.force(false);
            return null;
        } catch (IOException e) {
            withdraw(e);
            return e;
        }
    }

    private void withdraw(IOException why) {
        LOG.error("the record of what was copied cannot be kept: {}; it is taken away", why.getMessage());
        try {
            takeAway.run();
        } catch (IOException stays) {
            attempt(lastResort);
        }
    }

    private void attempt(LastResort first) {
        try {
            first.run();
        } catch (IOException | RuntimeException e) {
            if (first != lastResort) {
                attempt(lastResort);
                return;
            }
            LOG.error(
                    "a record that is not true cannot be taken away, nor can the target; do not let this daemon start"
                            + " again before the record is deleted by hand",
                    e);
        }
    }

    /** One that was given up ends twice; nobody waits for the second. */
    private void ended(@Nullable BlockError error) {
        Completion waiting = awaited;
        Loop.Timer timer = overdue;
        if (waiting == null || (givenUp && error == null)) {
            return;
        }
        awaited = null;
        overdue = null;
        if (timer != null) {
            timer.cancel();
        }
        isVoid |= error != null;
        waiting.complete(error);
    }

    private static BlockError failure(String why) {
        return BlockError.of(ErrorKind.IO, "record of what was copied", "write", why);
    }

    /** Closes the files; what they hold stays. */
    public void close() {
        try {
            channel.close();
        } catch (IOException e) {
            LOG.warn("a record of regions did not close", e);
        }
    }
}
