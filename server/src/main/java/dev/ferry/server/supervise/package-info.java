/**
 * Sockets that outlive the daemon. {@link dev.ferry.server.supervise.Supervisor} is the small parent process that holds
 * the daemon's listening sockets, starts it, starts it again when it dies, and hands over to a new one on request;
 * {@link dev.ferry.server.supervise.Keeper} is the daemon's side of it. Between them they speak systemd's protocols
 * (sd_listen_fds(3), sd_notify(3), the descriptor store), so that under systemd the supervisor passes on what it is told, and
 * could be left out.
 *
 * <pre>
 *  daemon to supervisor            meaning
 *  FDSTORE=1 FDNAME=n + descriptor hold this socket, hand it to whoever comes next
 *  FDSTOREREMOVE=1 FDNAME=n        let go of it
 *  READY=1                         serving
 *  STOPPING=1                      on the way out
 *  X_FERRY_RESTART=1               start another daemon; ours alone
 *  X_FERRY_STANDBY=1               started, waiting for the data directory; ours alone
 *  MAINPID=pid                     with each of the above: who says so
 *
 *  supervisor to daemon
 *  LISTEN_PID LISTEN_FDS LISTEN_FDNAMES   the sockets, from descriptor 3 on
 *  NOTIFY_SOCKET                          where to send the above
 *  FERRY_SUPERVISOR=pid                   it is Ferry's own
 *  FERRY_STANDBY=1                        wait for the data directory instead of failing
 *  SIGTERM                                stop, or hand over if a restart was asked for
 *  SIGHUP                                 ask for a restart, unless a disk moves
 * </pre>
 */
@NullMarked
package dev.ferry.server.supervise;

import org.jspecify.annotations.NullMarked;
