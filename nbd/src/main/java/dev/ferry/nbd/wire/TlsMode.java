package dev.ferry.nbd.wire;

/** What a server thinks of TLS, as section "TLS support" of the specification calls it. */
public enum TlsMode {
    /** NOTLS: there is none. */
    OFF,
    /** SELECTIVETLS, with no export that insists: a client may have it. */
    ON,
    /** FORCEDTLS: nothing else is answered before it. */
    REQUIRE
}
