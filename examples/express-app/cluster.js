'use strict';

// A master that keeps one worker per processor alive, and ends with all of them within 5 seconds of a SIGTERM.

var cluster = require('cluster');
var http = require('http');
var os = require('os');

var GRACE = 4000; // ms for the requests under way
var RESPAWN_DELAY = 500; // ms, so that a worker that cannot start does not spin

function each(action) {
  Object.keys(cluster.workers).forEach(function (id) {
    action(cluster.workers[id]);
  });
}

function master() {
  var stopping = false;

  function stop() {
    if (stopping) {
      return;
    }
    stopping = true;
    each(function (worker) {
      worker.process.kill('SIGTERM');
    });
    setTimeout(function () {
      each(function (worker) {
        worker.process.kill('SIGKILL');
      });
      process.exit(0);
    }, GRACE + 500);
  }

  cluster.on('exit', function (worker, code, signal) {
    if (!stopping) {
      console.log('worker %d died (%s), starting another', worker.process.pid, signal || code);
      setTimeout(function () {
        if (!stopping) {
          cluster.fork();
        }
      }, RESPAWN_DELAY);
    } else if (Object.keys(cluster.workers).length === 0) {
      process.exit(0);
    }
  });
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);

  os.cpus().forEach(function () {
    cluster.fork();
  });
  console.log('master %d: NODE_ENV is %s', process.pid, process.env.NODE_ENV);
}

function worker() {
  var port = process.env.PORT || 3000;
  var server = http.createServer(require('./app'));

  function stop() {
    setTimeout(function () {
      process.exit(0);
    }, GRACE);
    server.close(function () {
      process.exit(0);
    });
  }

  process.on('SIGTERM', stop);
  process.on('SIGINT', function () {}); // a terminal's ^C reaches the master too, which stops us
  server.listen(port, '127.0.0.1', function () {
    console.log('worker %d: listening on 127.0.0.1:%s', process.pid, port);
  });
}

if (cluster.isMaster) {
  master();
} else {
  worker();
}
