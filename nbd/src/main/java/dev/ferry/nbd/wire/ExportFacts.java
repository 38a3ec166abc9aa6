package dev.ferry.nbd.wire;

/**
 * What a client is told of an export.
 *
 * @param name its canonical name
 * @param description for people; may be empty
 * @param sizeBytes its size, a multiple of {@code minimumBlockBytes}
 * @param transmissionFlags bits {@code FLAG_…} of {@link Nbd}, without SEND_DF, which the handshake adds
 * @param minimumBlockBytes the unit of offsets and lengths
 * @param preferredBlockBytes the unit in which requests are cheap
 * @param maximumPayloadBytes the longest read or write
 */
public record ExportFacts(
        String name,
        String description,
        long sizeBytes,
        int transmissionFlags,
        int minimumBlockBytes,
        int preferredBlockBytes,
        int maximumPayloadBytes) {}
