<?php
// Work for PHP: arrays, strings, and what the extensions do, where they are loaded.
// SPDX-License-Identifier: MIT
$rounds = (int)$argv[1];
$state = 12345;

function random_to(int $limit): int
{
    global $state;
    $state = ($state * 1103515245 + 12345) % 2147483648;
    return ($state >> 8) % $limit;
}

function document(int $records): array
{
    $all = [];
    for ($i = 0; $i < $records; $i++) {
        $all[] = ["id" => $i, "name" => "record " . random_to(1000000), "tags" => array_fill(0, random_to(8), "tag"),
                  "note" => str_repeat("n\u{20ac}", random_to(100))];
    }
    return $all;
}

function work_json(): string
{
    $text = json_encode(document(2000));
    $back = json_decode($text, true);
    usort($back, fn($a, $b) => strcmp($a["name"], $b["name"]) ?: $a["id"] <=> $b["id"]);
    return hash("sha256", serialize($back) . preg_replace('/record (\d)/', '$1 record', $text));
}

function work_xml(): string
{
    $tree = new DOMDocument();
    $root = $tree->appendChild($tree->createElement("root"));
    foreach (document(300) as $record) {
        $child = $root->appendChild($tree->createElement("record", $record["note"]));
        $child->setAttribute("name", $record["name"]);
    }
    $found = (new DOMXPath($tree))->query("//record[contains(@name, '7')]");
    return $found->length . " " . hash("sha256", simplexml_load_string($tree->saveXML())->asXML());
}

function work_sqlite(): string
{
    $base = new PDO("sqlite::memory:");
    $base->exec("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, note TEXT)");
    $insert = $base->prepare("INSERT INTO item VALUES (?, ?, ?)");
    foreach (document(1000) as $record) {
        $insert->execute([$record["id"], $record["name"], $record["note"]]);
    }
    return json_encode($base->query("SELECT count(*), sum(length(note)), min(name) FROM item")->fetch());
}

function work_gd(): string
{
    $image = imagecreatetruecolor(300, 200);
    for ($i = 0; $i < 200; $i++) {
        imagefilledellipse($image, random_to(300), random_to(200), 30, 20, random_to(1 << 24));
    }
    $small = imagescale(imagerotate($image, 30, 0), 120);
    ob_start();
    imagepng($small);
    return hash("sha256", ob_get_clean());
}

function work_mbstring(): string
{
    $text = str_repeat("Grüße, мир, 世界 ", 2000);
    return hash("sha256", mb_strtoupper($text) . mb_convert_encoding($text, "UTF-16LE") . mb_substr($text, 100, 500));
}

function work_intl(): string
{
    $words = array_map(fn($i) => "wörd" . random_to(1000) . "é", range(1, 500));
    (new Collator("de_DE"))->sort($words);
    return hash("sha256", implode(",", $words) . Normalizer::normalize("é", Normalizer::FORM_D)
                . (new NumberFormatter("de_DE", NumberFormatter::SPELLOUT))->format(12345));
}

function work_gmp(): string
{
    return substr(gmp_strval(gmp_pow(gmp_fact(300), 3)), 0, 60) . bcpow("3.1415926", "200", 40);
}

function work_curl(): string
{
    $all = curl_multi_init();
    $path = tempnam(sys_get_temp_dir(), "curl");
    file_put_contents($path, str_repeat("curl ", 10000));
    $handles = array_map(fn($i) => curl_init("file://$path"), range(1, 20));
    foreach ($handles as $handle) {
        curl_setopt($handle, CURLOPT_RETURNTRANSFER, true);
        curl_multi_add_handle($all, $handle);
    }
    do {
        curl_multi_exec($all, $running);
    } while ($running > 0);
    unlink($path);
    return hash("sha256", implode("", array_map("curl_multi_getcontent", $handles)));
}

function work_zip(): string
{
    $path = tempnam(sys_get_temp_dir(), "zip");
    $zip = new ZipArchive();
    $zip->open($path, ZipArchive::OVERWRITE);
    foreach (range(1, 20) as $i) {
        $zip->addFromString("file$i", str_repeat("content $i ", 1000));
    }
    $zip->close();
    $zip->open($path);
    $text = $zip->numFiles . hash("sha256", $zip->getFromName("file7"));
    $zip->close();
    unlink($path);
    return $text;
}

$works = ["json" => "json", "dom" => "xml", "pdo_sqlite" => "sqlite", "gd" => "gd", "mbstring" => "mbstring",
          "intl" => "intl", "gmp" => "gmp", "curl" => "curl", "zip" => "zip"];
foreach ($works as $extension => $work) {
    if (!extension_loaded($extension)) {
        echo "the extension $extension is not loaded\n";
        exit(1);
    }
}
for ($round = 0; $round < $rounds; $round++) {
    foreach ($works as $work) {
        $text = "$work: " . ("work_" . $work)();
        if ($round == $rounds - 1) {
            echo "$text\n";
        }
    }
}
