<?php // Prints every value of a query as PHP reads it: php values.php mysqli|pdo SOCKET USER QUERY
[$_, $how, $socket, $user, $query] = $argv;
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
if ($how === 'mysqli') {
    $mysqli = new mysqli(null, $user, '', 'shop', 0, $socket);
    $mysqli->set_charset('utf8mb4');
    $asked = $mysqli->prepare($query);
    $from = 0;
    $asked->bind_param('i', $from);
    $asked->execute();
    $found = $asked->get_result();
    foreach ($found->fetch_fields() as $field) {
        echo "$field->name $field->type $field->flags $field->decimals\n";
    }
    $rows = $found->fetch_all();
} else {
    $pdo = new PDO("mysql:unix_socket=$socket;dbname=shop;charset=utf8mb4", $user, '', [
        PDO::ATTR_EMULATE_PREPARES => false, PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
    ]);
    $asked = $pdo->prepare($query);
    $asked->execute([0]);
    $rows = $asked->fetchAll(PDO::FETCH_NUM);
}
foreach ($rows as $row) {
    foreach ($row as $value) {
        echo gettype($value), ' ', is_string($value) ? bin2hex($value) : var_export($value, true), "\n";
    }
}
