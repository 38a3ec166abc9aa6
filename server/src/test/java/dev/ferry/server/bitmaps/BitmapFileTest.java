package dev.ferry.server.bitmaps;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.filter.tracking.DirtyBitmap;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The file of a disk's bitmaps: what was written or a refusal, and never anything else. */
final class BitmapFileTest {
    private static final long SIZE_BYTES = (5L << 30) + 512;
    private static final int GRANULARITY_BYTES = 64 << 10;

    @TempDir
    private Path folder = Path.of("");

    private Path path() {
        return folder.resolve("vm.bitmaps");
    }

    private static KeptBitmap some() {
        KeptBitmap bitmap = KeptBitmap.clean("nightly ü", GRANULARITY_BYTES, SIZE_BYTES);
        DirtyBitmap bits = Objects.requireNonNull(bitmap.bits());
        bits.set(1 << 20, 4096);
        bits.set(3L << 30, 2L << 30);
        bits.set(SIZE_BYTES - 1, 1);
        return bitmap;
    }

    @Test
    void whatIsWrittenIsRead() throws IOException {
        BitmapFile file = new BitmapFile(path());
        assertThat(file.read().bitmaps()).isEmpty();
        KeptBitmap all = KeptBitmap.clean("all", 512, 1 << 20);
        Objects.requireNonNull(all.bits()).setAll();
        file.write(false, List.of(some(), all, some().inconsistent()), true);
        BitmapFile.Contents found = file.read();
        assertThat(found.inUse()).isFalse();
        assertThat(found.bitmaps()).extracting(KeptBitmap::name).containsExactly("nightly ü", "all", "nightly ü");
        DirtyBitmap bits = Objects.requireNonNull(found.bitmaps().getFirst().bits());
        assertThat(bits.dirtyBytes())
                .isEqualTo(Objects.requireNonNull(some().bits()).dirtyBytes());
        assertThat(bits.nextDirty(0)).isEqualTo(1 << 20);
        assertThat(bits.nextClean(1 << 20)).isEqualTo((1 << 20) + GRANULARITY_BYTES);
        assertThat(bits.nextDirty(2 << 20)).isEqualTo(3L << 30);
        assertThat(Objects.requireNonNull(found.bitmaps().get(1).bits()).dirtyBytes())
                .isEqualTo(1 << 20);
        assertThat(found.bitmaps().get(2).bits()).isNull();
        file.write(false, List.of(), true);
        assertThat(folder).isEmptyDirectory();
    }

    @Test
    void aFileThatIsInUseKnowsNoneOfThem() throws IOException {
        BitmapFile file = new BitmapFile(path());
        file.write(false, List.of(some()), true);
        file.write(true, List.of(some()), true);
        BitmapFile.Contents found = file.read();
        assertThat(found.inUse()).isTrue();
        assertThat(found.bitmaps()).singleElement().satisfies(one -> {
            assertThat(one.name()).isEqualTo("nightly ü");
            assertThat(one.granularityBytes()).isEqualTo(GRANULARITY_BYTES);
            assertThat(one.bits()).isNull();
        });
    }

    @Test
    void aFileThatIsCutOrChangedAnywhereIsRefused() throws IOException {
        BitmapFile file = new BitmapFile(path());
        file.write(false, List.of(some()), false);
        byte[] whole = Files.readAllBytes(path());
        for (int at = 0; at < whole.length; at += at < 64 ? 1 : 509) {
            Files.write(path(), Arrays.copyOf(whole, at));
            assertThatThrownBy(file::read)
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining(path().toString())
                    .hasMessageContaining("damaged");
            byte[] changed = whole.clone();
            changed[at] ^= 0x41;
            Files.write(path(), changed);
            assertThatThrownBy(file::read).isInstanceOf(IOException.class).hasMessageContaining("damaged");
        }
    }
}
