# A small fleet as a canonical CSV: `vehicles` cars, `days` days, a drive there and one back each day, a sample every 10 s.
BEGIN {
    OFS = ","
    print "vehicle_id", "driver_id", "ts", "lat", "lon", "speed_kmh", "ignition", "odometer_km"
    for (v = 1; v <= vehicles; v++) {
        odometer = 10000 + 1000 * v
        for (d = 1; d <= days; d++) for (hour = 8; hour <= 17; hour += 9) {
            way = hour == 8 ? 1 : -1
            lon = 13.40 + 0.02 * v + (way < 0 ? 0.15 : 0)
            for (i = 0; i <= 90; i++) {
                s = i * 10
                speed = i < 3 || i > 87 ? 0 : 50
                odometer += speed / 360
                lon += way * speed / 360 / 67.7
                printf "car-%d,driver-%d,2026-03-%02dT%02d:%02d:%02dZ,52.500000,%.6f,%d,%s,%.3f\n", \
                    v, v, d, hour, int(s / 60), s % 60, lon, speed, i < 90 ? "true" : "false", odometer
            }
        }
    }
}
