//go:build e2e

package e2e

// noticeStops are the pages for everybody. What differs between the sites is read on each; leaflets are the same.
func noticeStops(site string) []stop {
	stops := []stop{
		{name: "help", path: "/help"},
		{name: "help-cy", path: "/help?lang=cy"},
		{name: "privacy", path: "/privacy"},
	}
	if site != "desk" {
		return stops
	}
	return append(stops, stop{name: "privacy-cy", path: "/privacy?lang=cy"},
		stop{name: "accessibility", path: "/accessibility"}, stop{name: "accessibility-cy", path: "/accessibility?lang=cy"},
		stop{name: "leaflet", path: "/leaflet", sheet: true}, stop{name: "leaflet-cy", path: "/leaflet?lang=cy", sheet: true},
		stop{name: "leaflet-easy", path: "/leaflet/easy-read", sheet: true}, stop{name: "leaflet-easy-cy", path: "/leaflet/easy-read?lang=cy", sheet: true},
		stop{name: "family", path: "/leaflet/family", sheet: true}, stop{name: "family-cy", path: "/leaflet/family?lang=cy", sheet: true},
		stop{name: "family-easy", path: "/leaflet/family/easy-read", sheet: true}, stop{name: "family-easy-cy", path: "/leaflet/family/easy-read?lang=cy", sheet: true})
}
