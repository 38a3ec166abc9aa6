package dev.ferry.bench;

import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;

/** Stands at the far end of a link: sends back what it gets. */
final class EchoServer {
    private EchoServer() {}

    /** @param arguments address and port to listen at */
    public static void main(String[] arguments) throws Exception {
        InetAddress address = InetAddress.getByName(arguments[0]);
        try (ServerSocket listener = new ServerSocket(Integer.parseInt(arguments[1]), 4, address)) {
            while (true) {
                try (Socket client = listener.accept()) {
                    client.getInputStream().transferTo(client.getOutputStream());
                }
            }
        }
    }
}
