package dev.ferry.nbd.wire;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The server's side of the fixed newstyle handshake: it is fed bytes and gives bytes, and in the end the terms of the
 * session. Belongs to one thread.
 *
 * <pre>
 *   server: NBDMAGIC IHAVEOPT flags(2)      client: flags(4)
 *   client: { IHAVEOPT option(4) length(4) data } …    server: { magic(8) option(4) type(4) length(4) data } …
 * </pre>
 *
 * <p>It answers one option for each call of {@link #step}, so that a client that asks and does not listen costs no
 * memory. An option longer than {@link #OPTION_BYTES_MAX} is passed over and refused. Specification: sections
 * "Handshake" and "Option types".
 */
public final class ServerHandshake {
    /** The longest option that is looked at. */
    public static final int OPTION_BYTES_MAX = 64 << 10;

    /** One that claims to be longer than this is an attack, and ends the connection. */
    private static final long OPTION_BYTES_SKIPPED_MAX = 32 << 20;

    /** The exports that a client may see. */
    public interface Catalog {
        /** All of them, in the order of their names. */
        List<ExportFacts> list();

        /** The export that a client means by a name; the empty name means the default one. */
        @Nullable
        ExportFacts find(String name);

        /** The names of an export's metadata contexts; {@link Nbd#BASE_ALLOCATION} is the first. */
        List<String> contexts(ExportFacts export);

        /** Takes a place for one more client of an export; false if it has as many as it may have. */
        boolean reserve(ExportFacts export);

        /** True if no client is to begin anything any more. */
        boolean stopping();
    }

    /** What comes next. */
    public enum Outcome {
        /** Send the output, if any; then call {@link #step} again, with more input if there is none left. */
        CONTINUE,
        /** Send the output, then go on over TLS: what is left of the input belongs to that already. */
        START_TLS,
        /** Send the output, then begin the transmission phase by {@link #terms}. */
        TRANSMISSION,
        /** Send the output, then close the connection. */
        CLOSE
    }

    private enum State {
        FLAGS,
        OPTION,
        DATA,
        SKIP
    }

    private final Catalog catalog;
    private final MessageBytes output = new MessageBytes();
    private State state = State.FLAGS;
    private boolean noZeroes;
    private final TlsMode tls;
    private boolean secured;
    private ReplyStyle style = ReplyStyle.SIMPLE;
    private int option;
    private long skip;
    private byte[] data = new byte[0];
    private int dataLength;
    private int dataRead;
    private @Nullable String contextExport;
    private List<SessionTerms.Context> contexts = List.of();
    private @Nullable SessionTerms terms;

    public ServerHandshake(Catalog catalog, TlsMode tls) {
        this.catalog = catalog;
        this.tls = tls;
        output.u64(Nbd.GREETING_MAGIC).u64(Nbd.OPTION_MAGIC).u16(Nbd.FLAG_FIXED_NEWSTYLE | Nbd.FLAG_NO_ZEROES);
    }

    /** What is to be sent; the greeting, at first. */
    public MessageBytes output() {
        return output;
    }

    /** What has been agreed on, after {@link Outcome#TRANSMISSION}. */
    public SessionTerms terms() {
        return Objects.requireNonNull(terms);
    }

    /** Goes on with the bytes that have come, up to the answer to one option. */
    public Outcome step(ByteBuffer input) {
        while (true) {
            switch (state) {
                case FLAGS -> {
                    if (input.remaining() < 4) {
                        return Outcome.CONTINUE;
                    }
                    int flags = input.getInt();
                    if ((flags & ~(Nbd.FLAG_FIXED_NEWSTYLE | Nbd.FLAG_NO_ZEROES)) != 0) {
                        return Outcome.CLOSE;
                    }
                    noZeroes = (flags & Nbd.FLAG_NO_ZEROES) != 0;
                    state = State.OPTION;
                }
                case OPTION -> {
                    if (input.remaining() < 16) {
                        return Outcome.CONTINUE;
                    }
                    if (!beginOption(input)) {
                        return Outcome.CLOSE;
                    }
                }
                case DATA -> {
                    if (!readData(input)) {
                        return Outcome.CONTINUE;
                    }
                    state = State.OPTION;
                    return answer(new OptionData(Arrays.copyOf(data, dataLength)));
                }
                case SKIP -> {
                    int taken = (int) Math.min(skip, input.remaining());
                    input.position(input.position() + taken);
                    skip -= taken;
                    if (skip > 0) {
                        return Outcome.CONTINUE;
                    }
                    state = State.OPTION;
                    return tls == TlsMode.REQUIRE && !secured
                            ? refuse(Nbd.REP_ERR_TLS_REQD, "this server insists on TLS")
                            : refuse(Nbd.REP_ERR_TOO_BIG, "the option is too long");
                }
            }
        }
    }

    private boolean beginOption(ByteBuffer input) {
        if (input.getLong() != Nbd.OPTION_MAGIC) {
            return false;
        }
        option = input.getInt();
        long length = Integer.toUnsignedLong(input.getInt());
        if (length > OPTION_BYTES_SKIPPED_MAX || (option == Nbd.OPT_EXPORT_NAME && length > Nbd.STRING_BYTES_MAX)) {
            return false;
        }
        if (option == Nbd.OPT_SET_META_CONTEXT) {
            // Whatever becomes of it, it replaces what was selected before.
            forgetContexts();
        }
        if (length > OPTION_BYTES_MAX) {
            skip = length;
            state = State.SKIP;
            return true;
        }
        dataLength = (int) length;
        dataRead = 0;
        state = State.DATA;
        return true;
    }

    /** Memory grows with what has come, not with what was announced. */
    private boolean readData(ByteBuffer input) {
        int taken = Math.min(dataLength - dataRead, input.remaining());
        if (dataRead + taken > data.length) {
            data = Arrays.copyOf(data, Math.max(dataRead + taken, Math.min(dataLength, data.length * 2)));
        }
        input.get(data, dataRead, taken);
        dataRead += taken;
        return dataRead == dataLength;
    }

    private Outcome answer(OptionData asked) {
        boolean always = option == Nbd.OPT_STARTTLS || option == Nbd.OPT_ABORT;
        if (tls == TlsMode.REQUIRE && !secured && !always) {
            return option == Nbd.OPT_EXPORT_NAME
                    ? Outcome.CLOSE
                    : refuse(Nbd.REP_ERR_TLS_REQD, "this server insists on TLS");
        }
        if (catalog.stopping() && option != Nbd.OPT_ABORT) {
            return option == Nbd.OPT_EXPORT_NAME
                    ? Outcome.CLOSE
                    : refuse(Nbd.REP_ERR_SHUTDOWN, "the server is shutting down");
        }
        return switch (option) {
            case Nbd.OPT_EXPORT_NAME -> exportName(asked);
            case Nbd.OPT_ABORT -> {
                acknowledge();
                yield Outcome.CLOSE;
            }
            case Nbd.OPT_LIST -> list(asked);
            case Nbd.OPT_STARTTLS -> startTls(asked);
            case Nbd.OPT_INFO, Nbd.OPT_GO -> info(asked);
            case Nbd.OPT_STRUCTURED_REPLY, Nbd.OPT_EXTENDED_HEADERS -> style(asked);
            case Nbd.OPT_LIST_META_CONTEXT, Nbd.OPT_SET_META_CONTEXT -> contexts(asked);
            default -> refuse(Nbd.REP_ERR_UNSUP, "this option is not known here");
        };
    }

    private Outcome style(OptionData asked) {
        if (asked.remaining() > 0) {
            return refuse(Nbd.REP_ERR_INVALID, "this option takes no data");
        }
        if (option == Nbd.OPT_EXTENDED_HEADERS) {
            style = ReplyStyle.EXTENDED;
        } else if (style.extended()) {
            return refuse(Nbd.REP_ERR_EXT_HEADER_REQD, "extended headers have been negotiated");
        } else {
            style = ReplyStyle.STRUCTURED;
        }
        return acknowledge();
    }

    /** What was agreed on in the clear may have been said by anybody, and counts for nothing afterwards. */
    private Outcome startTls(OptionData asked) {
        if (tls == TlsMode.OFF) {
            return refuse(Nbd.REP_ERR_UNSUP, "this server has no TLS");
        }
        if (secured || asked.remaining() > 0) {
            return refuse(Nbd.REP_ERR_INVALID, secured ? "TLS is there already" : "this option takes no data");
        }
        acknowledge();
        secured = true;
        style = ReplyStyle.SIMPLE;
        forgetContexts();
        return Outcome.START_TLS;
    }

    private void forgetContexts() {
        contextExport = null;
        contexts = List.of();
    }

    private Outcome exportName(OptionData asked) {
        String name = asked.string(asked.remaining());
        ExportFacts facts = asked.malformed() || style.extended() ? null : catalog.find(name);
        if (facts == null || !catalog.reserve(facts)) {
            return Outcome.CLOSE;
        }
        output.u64(facts.sizeBytes()).u16(transmissionFlags(facts));
        if (!noZeroes) {
            output.zeroes(124);
        }
        return agree(facts);
    }

    private Outcome list(OptionData asked) {
        if (asked.remaining() > 0) {
            return refuse(Nbd.REP_ERR_INVALID, "this option takes no data");
        }
        for (ExportFacts facts : catalog.list()) {
            byte[] name = MessageBytes.utf8(facts.name());
            byte[] description = MessageBytes.utf8(facts.description());
            reply(Nbd.REP_SERVER, 4 + name.length + description.length)
                    .u32(name.length)
                    .raw(name)
                    .raw(description);
        }
        return acknowledge();
    }

    private Outcome info(OptionData asked) {
        long nameLength = asked.u32();
        if (nameLength > asked.remaining() - 2) {
            return refuse(Nbd.REP_ERR_INVALID, "the name is longer than the option");
        }
        String name = asked.string(nameLength);
        int count = asked.u16();
        if (asked.malformed() || asked.remaining() != count * 2) {
            return refuse(Nbd.REP_ERR_INVALID, "malformed option");
        }
        boolean wantsName = false;
        boolean wantsDescription = false;
        boolean wantsSizes = false;
        for (int i = 0; i < count; i++) {
            int kind = asked.u16();
            wantsName |= kind == Nbd.INFO_NAME;
            wantsDescription |= kind == Nbd.INFO_DESCRIPTION;
            wantsSizes |= kind == Nbd.INFO_BLOCK_SIZE;
        }
        ExportFacts facts = catalog.find(name);
        if (facts == null) {
            return refuse(Nbd.REP_ERR_UNKNOWN, "no such export");
        }
        if (option == Nbd.OPT_GO && !catalog.reserve(facts)) {
            return refuse(Nbd.REP_ERR_POLICY, "the export has as many clients as it may have");
        }
        reply(Nbd.REP_INFO, 12).u16(Nbd.INFO_EXPORT).u64(facts.sizeBytes()).u16(transmissionFlags(facts));
        if (wantsName) {
            text(Nbd.INFO_NAME, facts.name());
        }
        if (wantsDescription && !facts.description().isEmpty()) {
            text(Nbd.INFO_DESCRIPTION, facts.description());
        }
        if (wantsSizes || facts.minimumBlockBytes() > 1) {
            reply(Nbd.REP_INFO, 14)
                    .u16(Nbd.INFO_BLOCK_SIZE)
                    .u32(facts.minimumBlockBytes())
                    .u32(facts.preferredBlockBytes())
                    .u32(facts.maximumPayloadBytes());
        }
        acknowledge();
        return option == Nbd.OPT_GO ? agree(facts) : Outcome.CONTINUE;
    }

    private void text(int kind, String text) {
        byte[] encoded = MessageBytes.utf8(text);
        reply(Nbd.REP_INFO, 2 + encoded.length).u16(kind).raw(encoded);
    }

    private Outcome contexts(OptionData asked) {
        if (!style.chunks()) {
            return refuse(Nbd.REP_ERR_INVALID, "structured replies have to be negotiated first");
        }
        if (ContextQueries.tooMany(asked)) {
            return refuse(Nbd.REP_ERR_TOO_BIG, "too many queries");
        }
        ContextQueries queries = ContextQueries.parse(asked);
        if (queries == null) {
            return refuse(Nbd.REP_ERR_INVALID, "malformed option");
        }
        ExportFacts facts = catalog.find(queries.export());
        if (facts == null) {
            return refuse(Nbd.REP_ERR_UNKNOWN, "no such export");
        }
        boolean listing = option == Nbd.OPT_LIST_META_CONTEXT;
        List<SessionTerms.Context> matching = matching(catalog.contexts(facts), queries, listing);
        if (!listing && matching.size() > Nbd.CONTEXTS_MAX) {
            return refuse(Nbd.REP_ERR_TOO_BIG, "too many contexts");
        }
        for (SessionTerms.Context context : matching) {
            byte[] name = MessageBytes.utf8(context.name());
            reply(Nbd.REP_META_CONTEXT, 4 + name.length)
                    .u32(listing ? 0 : context.id())
                    .raw(name);
        }
        if (!listing) {
            contextExport = facts.name();
            contexts = matching;
        }
        return acknowledge();
    }

    /** Contexts are numbered from 1 in the order in which the export has them. */
    private static List<SessionTerms.Context> matching(List<String> names, ContextQueries queries, boolean listing) {
        List<SessionTerms.Context> matching = new ArrayList<>();
        for (int i = 0; i < names.size(); i++) {
            if (queries.match(names.get(i), listing)) {
                matching.add(new SessionTerms.Context(i + 1, names.get(i)));
            }
        }
        return matching;
    }

    private int transmissionFlags(ExportFacts facts) {
        return facts.transmissionFlags()
                | (style.chunks() ? Nbd.FLAG_SEND_DF : 0)
                | (style.extended() ? Nbd.FLAG_BLOCK_STATUS_PAYLOAD : 0);
    }

    private Outcome agree(ExportFacts facts) {
        boolean selected = facts.name().equals(contextExport);
        terms = new SessionTerms(facts, style, selected ? contexts : List.of());
        return Outcome.TRANSMISSION;
    }

    private Outcome acknowledge() {
        reply(Nbd.REP_ACK, 0);
        return Outcome.CONTINUE;
    }

    /** The texts are ours alone: what the client sent is never sent back. */
    private Outcome refuse(int type, String text) {
        byte[] encoded = MessageBytes.utf8(text);
        reply(type, encoded.length).raw(encoded);
        return Outcome.CONTINUE;
    }

    private MessageBytes reply(int type, int length) {
        return output.u64(Nbd.OPTION_REPLY_MAGIC).u32(option).u32(type).u32(length);
    }
}
