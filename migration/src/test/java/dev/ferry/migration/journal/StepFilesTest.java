package dev.ferry.migration.journal;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockError;
import dev.ferry.testkit.SimLoop;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Executor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The record of regions in step, in its files: what is found again, and what is not believed. */
class StepFilesTest {
    private static final int REGION = 1 << 20;
    private static final long REGIONS = 10_000;
    private static final StepKey KEY = new StepKey("m1", 0, "1:2", "1:3", REGIONS * REGION - 5, REGION);

    @TempDir
    Path directory;

    private final SimLoop loop = new SimLoop(1);
    private final List<String> lastResorts = new ArrayList<>();
    private final Executor inline = Runnable::run;
    /** What a worker does; a test puts others in its place. */
    private Executor workers = inline;

    private StepFile open(StepFiles files, StepFiles.Found found) throws IOException {
        return files.open(KEY, found, loop, workers, () -> Disowned.say(target(), KEY), () -> lastResorts.add("taken"));
    }

    private Path target() throws IOException {
        Path target = directory.resolveSibling(directory.getFileName() + ".target");
        if (!Files.exists(target)) {
            Files.createFile(target);
        }
        return target;
    }

    private StepFiles boot(String boot) {
        return new StepFiles(directory, boot);
    }

    private StepFile written() throws IOException {
        StepFile file = open(boot("b1"), StepFiles.nothing(KEY));
        file.copied(0, 0b1111);
        file.open(0, 0b0010);
        file.copied(100, -1);
        file.firm(0, 0b1100);
        file.firm(100, 1);
        file.sync(error -> assertThat(error).isNull());
        loop.run();
        return file;
    }

    @Test
    void inTheSameBootAllIsInStepThatWasCopiedAndIsNotOpen() throws IOException {
        written();
        StepFiles.Found found = boot("b1").read(KEY, true, target());
        assertThat(found.sameBoot()).isTrue();
        assertThat(found.trouble()).isNull();
        assertThat(found.inStep()[0]).isEqualTo(0b1101);
        assertThat(found.inStep()[100]).isEqualTo(-1);
        assertThat(found.firm()[0]).isEqualTo(0b1100);
        assertThat(found.keptRegions()).isEqualTo(3 + 64);
        assertThat(found.againRegions()).isEqualTo(1);
    }

    @Test
    void inAnotherBootOnlyWhatIsFirmIs() throws IOException {
        written();
        StepFiles.Found found = boot("b2").read(KEY, true, target());
        assertThat(found.sameBoot()).isFalse();
        assertThat(found.keptRegions()).isEqualTo(3);
        assertThat(found.againRegions()).isEqualTo(2 + 63);
        assertThat(boot("").read(KEY, true, target()).sameBoot()).isFalse();
    }

    @Test
    void whatWasFoundIsThereWhenItIsOpenedAgain() throws IOException {
        written();
        open(boot("b2"), boot("b2").read(KEY, true, target())).close();
        StepFiles.Found found = boot("b2").read(KEY, true, target());
        assertThat(found.sameBoot()).isTrue();
        assertThat(found.keptRegions()).isEqualTo(3);
        assertThat(found.againRegions()).isZero();
    }

    @Test
    void withoutItsLiveMapOnlyWhatIsFirmIsInStep() throws IOException {
        written();
        Files.delete(directory.resolve("m1-0.live"));
        StepFiles.Found found = boot("b1").read(KEY, true, target());
        assertThat(found.keptRegions()).isEqualTo(3);
        assertThat(found.againRegions()).isEqualTo(-1);
    }

    @Test
    void aRecordOfOtherFilesIsNotBelieved() throws IOException {
        written();
        StepKey other = new StepKey("m1", 0, "1:2", "1:4", KEY.sizeBytes(), REGION);
        assertThat(boot("b1").read(other, true, target()).trouble()).contains("other files");
        StepKey larger = new StepKey("m1", 0, "1:2", "1:3", KEY.sizeBytes() + REGION, REGION);
        assertThat(boot("b1").read(larger, true, target()).trouble()).contains("other files");
        assertThat(boot("b1").read(larger, true, target()).keptRegions()).isZero();
        assertThat(boot("b1")
                        .read(new StepKey("m2", 0, "", "", 1, REGION), true, target())
                        .trouble())
                .contains("gone");
    }

    @Test
    void aNewerRecordIsSaidToBeOne() throws IOException {
        written();
        flip(directory.resolve("m1-0.map"), 7, '1' ^ '2');
        assertThat(boot("b1").read(KEY, true, target()).trouble()).contains("another version");
    }

    /** Wherever a byte rots, what is believed after is what was true, or less. */
    @Test
    void damageMakesForLessAndNeverForMore() throws IOException {
        written();
        Path map = directory.resolve("m1-0.map");
        byte[] whole = Files.readAllBytes(map);
        Files.delete(directory.resolve("m1-0.live"));
        Random random = new Random(7);
        int believedInPart = 0;
        for (int i = 0; i < 400; i++) {
            int at = i < 100 ? random.nextInt(1200) : random.nextInt(whole.length);
            Files.write(map, whole);
            flip(map, at, 1 << random.nextInt(8));
            StepFiles.Found found = boot("b1").read(KEY, true, target());
            assertThat(found.firm()[0] & ~0b1100L).isZero();
            assertThat(found.firm()[100] & ~1L).isZero();
            assertThat(found.keptRegions()).isLessThanOrEqualTo(3);
            believedInPart += found.keptRegions() == 1 ? 1 : 0;
        }
        assertThat(believedInPart).isPositive();
    }

    private static void flip(Path file, int at, int bits) throws IOException {
        byte[] bytes = Files.readAllBytes(file);
        bytes[at] ^= (byte) bits;
        Files.write(file, bytes, StandardOpenOption.TRUNCATE_EXISTING);
    }

    @Test
    void aRecordThatCannotBeWrittenIsTakenAway() throws IOException {
        StepFile file = written();
        file.close();
        file.firm(0, 0);
        List<BlockError> errors = new ArrayList<>();
        file.sync(errors::add);
        loop.run();
        assertThat(errors).hasSize(1).doesNotContainNull();
        assertThat(directory).isEmptyDirectory();
        assertThat(lastResorts).isEmpty();
        file.copied(0, 1);
        file.sync(errors::add);
        assertThat(errors).hasSize(2).doesNotContainNull();
    }

    @Test
    void theLastResortComesWhereItCannotBeTakenAwayEither() throws IOException {
        StepFile file = written();
        file.close();
        Files.delete(directory.resolve("m1-0.live"));
        Files.createDirectories(directory.resolve("m1-0.live/in the way"));
        file.firm(0, 0);
        file.sync(error -> assertThat(error).isNotNull());
        loop.run();
        assertThat(lastResorts).containsExactly("taken");
    }

    /** Guests wait for a sync, so one that hangs is given up, and what it would have said is said at the target. */
    @Test
    void aSyncThatHangsIsGivenUpAndTheRecordIsNotBelieved() throws IOException {
        StepFile file = written();
        List<Runnable> hanging = new ArrayList<>();
        workers = task -> {
            if (hanging.isEmpty()) {
                hanging.add(task);
            } else {
                task.run();
            }
        };
        StepFile slow = open(boot("b1"), boot("b1").read(KEY, true, target()));
        file.close();
        slow.firm(0, 0);
        List<BlockError> errors = new ArrayList<>();
        slow.sync(errors::add);
        loop.runFor(StepFile.SYNC_NANOS_MAX - 1);
        assertThat(errors).isEmpty();
        loop.runFor(2);
        assertThat(errors).hasSize(1).doesNotContainNull();
        assertThat(boot("b1").read(KEY, true, target()).trouble()).contains("in time");
        assertThat(boot("b1").read(KEY, true, target()).keptRegions()).isZero();
        hanging.getFirst().run();
        loop.run();
        assertThat(errors).as("the end of what was given up").hasSize(1);
        slow.sync(errors::add);
        assertThat(errors).hasSize(2).doesNotContainNull();
        assertThat(lastResorts).isEmpty();
        Disowned.takeBack(target());
        assertThat(boot("b1").read(KEY, true, target()).trouble()).isNull();
    }

    @Test
    void ifTheTargetDoesNotAnswerEitherAGuestIsNotKept() throws IOException {
        StepFile file = written();
        file.close();
        workers = task -> {};
        StepFile slow = open(boot("b1"), boot("b1").read(KEY, true, target()));
        slow.firm(0, 0);
        List<BlockError> errors = new ArrayList<>();
        slow.sync(errors::add);
        loop.runFor(2 * StepFile.SYNC_NANOS_MAX + 2);
        assertThat(errors).hasSize(1).doesNotContainNull();
    }

    /** A disk of 16 TiB: the files, and with them what is held in memory, stay small. */
    @Test
    void aLargeDiskHasSmallMaps() throws IOException {
        long size = 16L << 40;
        StepKey large = new StepKey("m9", 0, "1:2", "1:3", size, REGION);
        boot("b1")
                .open(large, StepFiles.nothing(large), loop, inline, () -> {}, () -> {})
                .close();
        assertThat(Files.size(directory.resolve("m9-0.map"))).isLessThan(3L << 20);
        assertThat(Files.size(directory.resolve("m9-0.live"))).isLessThan(5L << 20);
        assertThat(boot("b1").read(large, true, target()).keptRegions()).isZero();
    }
}
