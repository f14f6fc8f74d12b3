// Publishes events beside rows, as a service written in Java does. Needs PostgreSQL's JDBC driver.

import java.net.URI;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.time.OffsetDateTime;
import org.postgresql.util.PSQLException;

class Client {
    public static void main(String[] arguments) throws Exception {
        var address = URI.create(arguments[0]);
        var login = address.getUserInfo().split(":");
        var url = "jdbc:postgresql://" + address.getHost() + ":" + address.getPort() + address.getPath();
        try (var connection = DriverManager.getConnection(url, login[0], login[1])) {
            connection.setAutoCommit(false);
            run(connection);
        }
    }

    static void run(Connection connection) throws Exception {
        // JDBC says of a String that it is text, which is no json by itself.
        told(connection, 1999, "größe/商品 1", "?, ?, ?::json, effectivefrom => ?, traceparent => ?",
            "pricing.BasePriceChanged", "price/größe/商品 1", "{\"cents\": 1999,  \"name\":\"größe \\u5546\"}",
            OffsetDateTime.parse("2026-01-02T03:04:05.678901Z"),
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        publish(connection, 1, "rolled back", "?, ?, ?::json", "pricing.BasePriceChanged", "price/rolled back", "1");
        connection.rollback();
        var bytes = new byte[256];
        for (int n = 0; n < bytes.length; n++) {
            bytes[n] = (byte) n;
        }
        told(connection, 2000, "image", "?, ?, version => ?, body => ?, contenttype => ?",
            "pricing.LabelPrinted", "label/1", 41, bytes, "image/png");
        told(connection, 2001, "gone", "?, ?", "pricing.LabelGone", "label/1");
        refused(connection, "?, ?", "pricing.BasePriceChanged", "price");
        refused(connection, "?, ?, ?::json", "pricing.BasePriceChanged", "price/1", "{");
        refused(connection, "?, ?, version => ?", "pricing.LabelPrinted", "label/1", 42);
    }

    // A row and its event in one transaction, that the caller ends; returns the version that the event was given.
    static long publish(Connection connection, int cents, String sku, String call, Object... values)
            throws SQLException {
        try (var insert = connection.prepareStatement("INSERT INTO price VALUES (?, ?)")) {
            insert.setString(1, sku);
            insert.setInt(2, cents);
            insert.executeUpdate();
        }
        try (var select = connection.prepareStatement("SELECT tidings.publish(" + call + ")")) {
            for (int n = 0; n < values.length; n++) {
                select.setObject(n + 1, values[n]);
            }
            var result = select.executeQuery();
            result.next();
            return result.getLong(1);
        }
    }

    static void told(Connection connection, int cents, String sku, String call, Object... values) throws SQLException {
        long version = publish(connection, cents, sku, call, values);
        connection.commit();
        System.out.println("version " + version);
    }

    static void refused(Connection connection, String call, Object... values) throws SQLException {
        try {
            publish(connection, 0, "refused", call, values);
            connection.commit();
        } catch (PSQLException error) {
            connection.rollback();
            System.out.println(error.getSQLState() + " " + error.getServerErrorMessage().getMessage());
        }
    }
}
