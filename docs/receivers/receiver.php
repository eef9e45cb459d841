<?php
// A receiver of webhooks in PHP: WEBHOOK_SECRETS="whsec_…" php -S 127.0.0.1:8080 receiver.php

declare(strict_types=1);

const TOLERANCE = 300; // seconds that the clocks may differ
const LARGEST = 1024 * 1024;

function key_of(string $secret): string
{
    $key = str_starts_with($secret, 'whsec_') ? base64_decode(substr($secret, 6), strict: true) : $secret;
    if ($key === false || $key === '') { // Anybody could sign with an empty one.
        throw new RuntimeException('WEBHOOK_SECRETS has a secret in it that is empty, or whsec_ without base64');
    }
    return $key;
}

function keys(): array
{
    $secrets = preg_split('/\s+/', (string) getenv('WEBHOOK_SECRETS'), flags: PREG_SPLIT_NO_EMPTY);
    if (!$secrets) {
        throw new RuntimeException('WEBHOOK_SECRETS has no secret in it');
    }
    return array_map(key_of(...), $secrets);
}

function is_authentic(string $id, string $timestamp, string $given, string $body, array $keys): bool
{
    if ($id === '' || !preg_match('/\A\d{1,11}\z/', $timestamp) || abs(time() - (int) $timestamp) > TOLERANCE) {
        return false;
    }
    $authentic = false;
    foreach ($keys as $key) {
        $expected = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$timestamp.$body", $key, true));
        foreach (explode(' ', $given) as $one) {
            $authentic = hash_equals($expected, $one) || $authentic;
        }
    }
    return $authentic;
}

function receive(): int
{
    if ($_SERVER['REQUEST_METHOD'] !== 'POST') {
        return 405;
    }
    $body = file_get_contents('php://input', length: LARGEST + 1); // The bytes as they came, not $_POST.
    if (strlen($body) > LARGEST) {
        return 413;
    }
    $header = fn(string $name): string => $_SERVER["HTTP_$name"] ?? '';
    $id = $header('WEBHOOK_ID');
    if (!is_authentic($id, $header('WEBHOOK_TIMESTAMP'), $header('WEBHOOK_SIGNATURE'), $body, keys())) {
        return 401;
    }
    error_log("$id: {$header('HOOK_EVENT')}"); // Put it into a queue; drop an id that you know.
    return 204;
}

http_response_code(receive());
