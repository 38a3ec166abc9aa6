package dev.ferry.nbd.fuzz;

import dev.ferry.nbd.wire.Bytes;
import dev.ferry.nbd.wire.ExportFacts;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.ServerHandshake;
import dev.ferry.nbd.wire.ServerHandshake.Outcome;
import dev.ferry.nbd.wire.TlsMode;
import java.nio.ByteBuffer;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The server's handshake, fed with what is said to it: it comes to an end, and its answers have a bound. */
public final class ServerHandshakeFuzz {
    /** No answer to one option is longer, with two exports. */
    private static final int ANSWER_BYTES_MAX = 8 << 10;

    private static final List<ExportFacts> EXPORTS = List.of(facts("", 0), facts("disk", 1 << 20));

    private static final List<TlsMode> MODES = List.of(TlsMode.OFF, TlsMode.ON, TlsMode.REQUIRE);

    private ServerHandshakeFuzz() {}

    private static ExportFacts facts(String name, long sizeBytes) {
        return new ExportFacts(name, "what it is", sizeBytes, Nbd.FLAG_HAS_FLAGS, 512, 4096, 32 << 20);
    }

    private static final class TwoExports implements ServerHandshake.Catalog {
        @Override
        public List<ExportFacts> list() {
            return EXPORTS;
        }

        @Override
        public @Nullable ExportFacts find(String name) {
            return EXPORTS.stream()
                    .filter(export -> export.name().equals(name))
                    .findFirst()
                    .orElse(null);
        }

        @Override
        public List<String> contexts(ExportFacts export) {
            return List.of(Nbd.BASE_ALLOCATION, Nbd.ALLOCATION_DEPTH, Nbd.DIRTY_BITMAP + "a");
        }

        @Override
        public boolean reserve(ExportFacts export) {
            return true;
        }

        @Override
        public boolean stopping() {
            return false;
        }
    }

    /** Called by the fuzzer. The first byte says what of TLS there is. */
    public static void fuzzerTestOneInput(byte[] data) {
        if (data.length == 0) {
            return;
        }
        TlsMode tls = MODES.get((data[0] & 0xff) % MODES.size());
        ServerHandshake machine = new ServerHandshake(new TwoExports(), tls);
        machine.output().take();
        ByteBuffer input = ByteBuffer.wrap(data, 1, data.length - 1);
        while (true) {
            int before = input.remaining();
            Outcome outcome = machine.step(input);
            int answered = machine.output().length();
            machine.output().take();
            if (answered > ANSWER_BYTES_MAX) {
                throw new AssertionError("an answer of " + answered + " bytes");
            }
            if (outcome == Outcome.TRANSMISSION) {
                if (!EXPORTS.contains(machine.terms().export())) {
                    throw new AssertionError("an export that there is not");
                }
                return;
            }
            if (outcome != Outcome.CONTINUE || input.remaining() == before) {
                return;
            }
        }
    }

    /** Conversations to begin with. */
    public static List<byte[]> corpus() {
        Bytes flags = Bytes.empty().u8(0).u32(Nbd.FLAG_FIXED_NEWSTYLE | Nbd.FLAG_NO_ZEROES);
        return List.of(
                Bytes.empty()
                        .raw(flags.done())
                        .option(Nbd.OPT_STRUCTURED_REPLY)
                        .option(Nbd.OPT_LIST)
                        .contexts(Nbd.OPT_LIST_META_CONTEXT, "disk", "qemu:")
                        .contexts(Nbd.OPT_SET_META_CONTEXT, "disk", Nbd.BASE_ALLOCATION, Nbd.DIRTY_BITMAP + "a")
                        .info(Nbd.OPT_INFO, "other", Nbd.INFO_NAME)
                        .info(Nbd.OPT_GO, "disk", Nbd.INFO_NAME, Nbd.INFO_DESCRIPTION, Nbd.INFO_BLOCK_SIZE)
                        .done(),
                Bytes.empty()
                        .raw(flags.done())
                        .option(Nbd.OPT_EXTENDED_HEADERS)
                        .contexts(Nbd.OPT_SET_META_CONTEXT, "", Nbd.BASE_ALLOCATION)
                        .option(77, new byte[70_000])
                        .info(Nbd.OPT_GO, "")
                        .done(),
                Bytes.empty().raw(flags.done()).option(Nbd.OPT_EXPORT_NAME).done(),
                Bytes.empty().raw(flags.done()).option(Nbd.OPT_ABORT).done(),
                Bytes.empty()
                        .u8(2)
                        .u32(Nbd.FLAG_FIXED_NEWSTYLE)
                        .option(Nbd.OPT_LIST)
                        .option(Nbd.OPT_STARTTLS)
                        .done());
    }
}
