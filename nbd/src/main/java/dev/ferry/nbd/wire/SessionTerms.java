package dev.ferry.nbd.wire;

/**
 * What a server and a client have agreed on for the transmission phase.
 *
 * @param export the export that was chosen
 * @param structuredReplies reads are answered by structured replies
 * @param allocationContext the number of the context {@code base:allocation} on this connection; -1: not selected
 */
public record SessionTerms(ExportFacts export, boolean structuredReplies, int allocationContext) {}
