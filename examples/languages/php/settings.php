<?php
// Lays one JSON document of settings over another, checks it, and prints the result.
declare(strict_types=1);

final class Settings
{
    private const DEFAULTS = '{"name": "app", "port": 8080, "tags": ["web"],
        "log": {"level": "info", "colour": true}}';

    public static function load(string $json): array
    {
        $given = json_decode($json, true, 16, JSON_THROW_ON_ERROR);
        $settings = array_replace_recursive(json_decode(self::DEFAULTS, true), $given);
        if ($settings['port'] < 1 || $settings['port'] > 65535) {
            throw new RangeException("port {$settings['port']} is not between 1 and 65535");
        }
        return $settings;
    }
}

$documents = [
    '{"name": "café", "log": {"level": "debug"}}',
    '{"port": 70000}',
    '{"port": ',
];
foreach ($documents as $document) {
    try {
        $flags = JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES;
        echo json_encode(Settings::load($document), $flags), "\n";
    } catch (RangeException $error) {
        echo 'refused: ', $error->getMessage(), "\n";
    } catch (JsonException $error) {
        echo 'not JSON: ', $error->getMessage(), "\n";
    }
}
