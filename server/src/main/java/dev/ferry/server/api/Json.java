package dev.ferry.server.api;

import tools.jackson.core.JacksonException;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.SerializationFeature;
import tools.jackson.databind.json.JsonMapper;

/** The one way in which Ferry reads and writes JSON: strict, and without surprises. Any thread. */
public final class Json {
    private static final JsonMapper MAPPER = JsonMapper.builder()
            .enable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
            .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build();

    private Json() {}

    public static byte[] bytes(Object value) {
        return MAPPER.writeValueAsBytes(value);
    }

    /** For people and programs: several lines, indented. */
    public static String pretty(Object value) {
        return MAPPER.writer().with(SerializationFeature.INDENT_OUTPUT).writeValueAsString(value);
    }

    /** For one object a line. */
    public static String line(Object value) {
        return MAPPER.writeValueAsString(value);
    }

    /**
     * @throws ProblemException {@link ProblemKind#WRONG_USAGE} if this is not JSON, has unknown fields, or lacks some
     */
    public static <T> T read(byte[] bytes, Class<T> type) throws ProblemException {
        try {
            T value = MAPPER.readValue(bytes, type);
            if (value == null) {
                throw new ProblemException(ProblemKind.WRONG_USAGE, "JSON is null where an object is wanted");
            }
            return value;
        } catch (JacksonException malformed) {
            throw new ProblemException(
                    ProblemKind.WRONG_USAGE, "JSON not understood: " + malformed.getOriginalMessage(), malformed);
        }
    }
}
