<?php
// A receiver of webhooks in PHP: WEBHOOK_SECRETS="whsec_…" php -S 127.0.0.1:8080 receiver.php

declare(strict_types=1);

const TOLERANCE = 300; // seconds that the clocks may differ
const LARGEST = 1024 * 1024;

function key_of(string $secret): string
{
    return str_starts_with($secret, 'whsec_') ? base64_decode(substr($secret, 6)) : $secret;
}

function is_authentic(string $id, string $timestamp, string $given, string $body, array $secrets): bool
{
    if ($id === '' || !preg_match('/\A\d{1,11}\z/', $timestamp) || abs(time() - (int) $timestamp) > TOLERANCE) {
        return false;
    }
    $authentic = false;
    foreach ($secrets as $secret) {
        $expected = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$timestamp.$body", key_of($secret), true));
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
    $secrets = explode(' ', getenv('WEBHOOK_SECRETS'));
    $id = $header('WEBHOOK_ID');
    if (!is_authentic($id, $header('WEBHOOK_TIMESTAMP'), $header('WEBHOOK_SIGNATURE'), $body, $secrets)) {
        return 401;
    }
    error_log("$id: {$header('HOOK_EVENT')}"); // Put it into a queue; drop an id that you know.
    return 204;
}

http_response_code(receive());
