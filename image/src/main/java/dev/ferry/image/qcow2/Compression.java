package dev.ferry.image.qcow2;

import com.github.luben.zstd.ZstdDecompressCtx;
import com.github.luben.zstd.ZstdException;
import dev.ferry.block.IoBuffer;
import java.nio.ByteBuffer;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;

/** The two ways in which a qcow2 cluster is compressed: raw deflate, and zstd. Any thread; keeps no state. */
final class Compression {
    private Compression() {}

    /** Fills {@code to} with what is unpacked; false if the data is damaged or too little. */
    static boolean unpack(boolean zstd, IoBuffer from, int bytes, IoBuffer to) {
        ByteBuffer source = from.segment().asSlice(0, bytes).asByteBuffer();
        ByteBuffer target = to.segment().asByteBuffer();
        return zstd ? zstd(source, target) : deflate(source, target);
    }

    private static boolean deflate(ByteBuffer source, ByteBuffer target) {
        try (Inflater inflater = new Inflater(true)) {
            inflater.setInput(source);
            while (target.hasRemaining()) {
                int count = inflater.inflate(target);
                if (count == 0) {
                    return false;
                }
            }
            return true;
        } catch (DataFormatException damaged) {
            return false;
        }
    }

    /** One frame; what follows it in its last sector is no part of it. */
    private static boolean zstd(ByteBuffer source, ByteBuffer target) {
        try (ZstdDecompressCtx context = new ZstdDecompressCtx()) {
            while (target.hasRemaining() && source.hasRemaining()) {
                int before = target.position() + source.position();
                boolean frameDone = context.decompressDirectByteBufferStream(target, source);
                if (frameDone || target.position() + source.position() == before) {
                    break;
                }
            }
            return !target.hasRemaining();
        } catch (ZstdException damaged) {
            return false;
        }
    }
}
