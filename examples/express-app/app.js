'use strict';

// Plain ES5: the same application runs on node 0.10 and on today's.

var fs = require('fs');
var path = require('path');
var express = require('express');

function json(name, otherwise) {
  var file = path.join(__dirname, name);
  return fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : otherwise;
}

var build = json('build.json', { text: 'build.json is missing: deploy.py makes it' });
var secrets = json('.env.json', {});
var app = express();

app.disable('x-powered-by');
app.set('trust proxy', 'loopback'); // nginx

app.get('/', function (req, res) {
  res.type('text/plain').send(build.text + '\n');
});

app.get('/health', function (req, res) {
  res.json({ status: 'ok' });
});

// Which secrets there are, never what they are.
app.get('/env', function (req, res) {
  res.json({ node: process.version, nodeEnv: process.env.NODE_ENV, secrets: Object.keys(secrets).sort() });
});

module.exports = app;
