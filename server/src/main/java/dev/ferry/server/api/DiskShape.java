package dev.ferry.server.api;

import org.jspecify.annotations.Nullable;

/**
 * How a qcow2 disk that is to be made lies in its file; what is null is as usual.
 *
 * @param version 2 or 3 (usual)
 * @param clusterBytes of a cluster: a power of two from 512 to 2 MiB (usual: 64 KiB); from 16 KiB where entries are extended (usual
 *     then: 128 KiB)
 * @param extendedL2 each cluster is allocated in 32 parts (usual: false)
 * @param refcountBits of the count of a cluster's users: a power of two from 1 to 64 (usual: 16)
 */
public record DiskShape(
        @Nullable Integer version,
        @Nullable Long clusterBytes,
        @Nullable Boolean extendedL2,
        @Nullable Integer refcountBits) {}
